"""Under every scheduler of torch: the optimizer sees the changed rate, the scheduler its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch.optim import lr_scheduler as schedulers  # noqa: E402

from gradwatch.autopilot.rates import Change  # noqa: E402
from gradwatch.integrations.overlay import Overlay  # noqa: E402
from gradwatch.integrations.rate import Rate  # noqa: E402

pytestmark = pytest.mark.torch

STEPS, FROM, TO = 60, 12, 40
Schedule = Callable[[Any], Any]

SCHEDULES: dict[str, Schedule] = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, lambda t: 1.0 / (1.0 + t)),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda _: 0.97),
    "StepLR": lambda o: schedulers.StepLR(o, 7, 0.5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [5, 20, 30], 0.3),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.5, 20),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.1, 1.0, 30),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.96),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 50, 2.0),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 25, 1e-4),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 10, 2),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 0.01, 0.3, 6, cycle_momentum=True),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.5, total_steps=STEPS + 1),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, factor=0.5, patience=3),
    "SequentialLR": lambda o: schedulers.SequentialLR(
        o,
        [schedulers.LinearLR(o, 0.1, 1.0, 10), schedulers.CosineAnnealingLR(o, 40)],
        milestones=[10],
    ),
    "ChainedScheduler": lambda o: schedulers.ChainedScheduler(
        [schedulers.ConstantLR(o, 0.1, 5), schedulers.ExponentialLR(o, 0.9)]
    ),
}


class Recording(torch.optim.SGD):
    """Notes the rates it works with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.used: list[list[float]] = []

    def step(self, closure: Any = None) -> Any:
        self.used.append([float(group["lr"]) for group in self.param_groups])
        return super().step(closure)


def job(schedule: Schedule, drive: Callable[[Rate, int], None], **options: Any) -> Any:
    """A real descent on two parameter groups; rates used, and rates as the scheduler has them."""
    weights = [torch.ones(3, requires_grad=True), torch.full((2,), 2.0, requires_grad=True)]
    groups = [{"params": [weights[0]]}, {"params": [weights[1]], "lr": 0.02}]
    optimizer = Recording(groups, lr=0.2, momentum=0.9, **options)
    scheduler, rate = schedule(optimizer), Rate(Overlay(optimizer))
    scheduled = []
    for step in range(STEPS):
        loss = sum((weight**2).sum() for weight in weights)
        optimizer.zero_grad()
        loss.backward()
        rate.step = step
        drive(rate, step)
        scheduled.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        plateau = isinstance(scheduler, schedulers.ReduceLROnPlateau)
        scheduler.step(float(step // 4)) if plateau else scheduler.step()
    return optimizer.used, scheduled


def halve(rate: Rate, step: int) -> None:
    if step == FROM:
        assert rate.add(Change("half", factor=0.5))
    if step == TO:
        rate.remove("half")


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_schedule_goes_on_as_if_nothing_had_happened(name: str) -> None:
    plain, plain_scheduled = job(SCHEDULES[name], lambda *_: None)
    used, scheduled = job(SCHEDULES[name], halve)
    assert scheduled == plain_scheduled == plain
    assert used[:FROM] == plain[:FROM]
    assert used[FROM:TO] == [[0.5 * rate for rate in rates] for rates in plain[FROM:TO]]
    assert used[TO:] == plain[TO:]


@pytest.mark.parametrize("name", ["OneCycleLR", "LinearLR", "CosineAnnealingWarmRestarts"])
def test_a_cap_holds_against_a_rising_schedule(name: str) -> None:
    def cap(rate: Rate, step: int) -> None:
        if step == 0:
            rate.add(Change("cap", cap=0.05))

    plain, _ = job(SCHEDULES[name], lambda *_: None)
    used, _ = job(SCHEDULES[name], cap)
    assert max(max(rates) for rates in plain) > 0.1
    for ours, theirs in zip(used, plain, strict=True):
        share = min(1.0, 0.05 / max(theirs))
        assert ours == pytest.approx([rate * share for rate in theirs], rel=1e-12)


def test_a_rate_that_is_a_tensor_stays_the_same_tensor() -> None:
    weight = torch.ones(3, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.25), capturable=False, foreach=False)
    rate, held = Rate(Overlay(optimizer)), optimizer.param_groups[0]["lr"]
    rate.add(Change("half", factor=0.5))
    weight.grad = torch.ones(3)
    optimizer.step()
    assert weight.tolist() == pytest.approx([1.0 - 0.125] * 3)
    assert optimizer.param_groups[0]["lr"] is held
    assert float(held) == 0.25


def test_a_step_that_raises_leaves_nothing_behind() -> None:
    class Failing(torch.optim.SGD):
        fails = True

        def step(self, closure: Any = None) -> Any:
            if self.fails:
                raise RuntimeError("out of memory")
            return super().step(closure)

    weight = torch.ones(1, requires_grad=True)
    optimizer = Failing([weight], lr=1.0)
    rate = Rate(Overlay(optimizer))
    rate.add(Change("half", factor=0.5))
    for _ in range(3):
        with pytest.raises(RuntimeError, match="out of memory"):
            optimizer.step()
    Failing.fails = False
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.tolist() == [0.5]
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_without_changes_no_hook_is_left() -> None:
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    rate = Rate(Overlay(optimizer))
    rate.add(Change("half", factor=0.5))
    assert (len(optimizer._optimizer_step_pre_hooks), rate.effective(1.0)) == (1, 0.5)
    rate.forget()
    assert (
        len(optimizer._optimizer_step_pre_hooks) == len(optimizer._optimizer_step_post_hooks) == 0
    )
    assert rate.effective(1.0) == 1.0


def test_an_optimizer_without_hooks_is_left_alone() -> None:
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        @property
        def param_groups(self) -> Any:  # type: ignore[override]
            return self.inner.param_groups

    rate = Rate(Overlay(Wrapper(torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0))))
    assert not rate.add(Change("half", factor=0.5))
    assert rate.effective(1.0) == 1.0


def test_an_optimizer_that_finds_its_own_rate_is_left_alone() -> None:
    optimizer = torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=1.0)
    optimizer.param_groups[0]["lr"] = None
    assert not Rate(Overlay(optimizer)).add(Change("half", factor=0.5))
    assert not optimizer._optimizer_step_pre_hooks


def test_a_saved_state_holds_the_schedule_not_the_change() -> None:
    weight = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    rate = Rate(Overlay(optimizer))
    rate.add(Change("half", factor=0.5))
    weight.grad = torch.ones(1)
    optimizer.step()
    saved = optimizer.state_dict()
    assert saved["param_groups"][0]["lr"] == 1.0
    optimizer.load_state_dict(saved)
    optimizer.step()
    assert weight.tolist() == [0.0]
