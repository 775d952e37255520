"""The guard on the device: the same updates as when the host looks first, without waiting."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from gradwatch.integrations import pytorch  # noqa: E402
from tests.client.conftest import OpenRun  # noqa: E402
from tests.client.memory_service import MemoryService  # noqa: E402
from tests.client.test_pytorch import Transfers, armed  # noqa: E402

pytestmark = pytest.mark.torch

OPTIMIZERS = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, fused=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=0.01, fused=True),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9, fused=True),
}
STEPS = 40
LIMITS = {"max_norm": 1.5, "skip_above": 1e3}
EXPLOSION = {12: 30.0, 13: 1e6, 14: math.nan, 20: math.inf, 25: 8.0}
WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "_to_copy", "masked_select")


class Waits(TorchDispatchMode):
    """Counts operators for which the host waits until the device has come so far."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name in WAITS and (name != "_to_copy" or "device" in (kwargs or {})):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Job:
    """A small regression whose gradients explode at some steps."""

    def __init__(self, make: Any) -> None:
        torch.manual_seed(7)
        self.model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
        self.optimizer = make(self.model.parameters())
        self.random = torch.Generator().manual_seed(3)

    def backward(self, factor: float) -> Any:
        inputs = torch.randn(32, 6, generator=self.random)
        self.optimizer.zero_grad()
        loss = ((self.model(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean()
        (factor * loss).backward()
        return loss

    @property
    def everything(self) -> list[Any]:
        """Parameters and what the optimizer remembers."""
        states = [self.optimizer.state[one] for one in self.model.parameters()]
        held = [value for state in states for value in state.values() if torch.is_tensor(value)]
        return [*(one.detach().clone() for one in self.model.parameters()), *held]


def trained(
    job: Job, run: Any, service: MemoryService, factors: dict[int, float], **limits: Any
) -> list[bool]:
    """Train under a guard that is armed after three steps; whether each update was let pass."""
    monitor, passed = run.watch(job.model, job.optimizer), []
    for step in range(STEPS):
        if step == 3:
            armed(run, service, **limits)
        loss = job.backward(factors.get(step, 1.0))
        passed.append(monitor.step(loss=loss))
        if passed[-1]:
            job.optimizer.step()
    run.finish()
    return passed


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_explosion_leaves_the_same_weights_bit_for_bit_as_under_a_guard_that_looks_first(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    first, later = Job(make), Job(make)
    passed = trained(first, open_run(), service, EXPLOSION, **LIMITS)
    skipped = [step for step, is_passed in enumerate(passed) if not is_passed]
    told = [(x["step"], x["action"]) for x in service.events if x["kind"] == "guard"]
    clipped, norms = service.scalar("clip_norm"), service.scalar("grad_norm")
    del service.stored[:]
    service.guard = {}
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    passed = trained(later, open_run(), service, EXPLOSION, **LIMITS)
    assert skipped == [13, 14, 20]
    assert all(passed)
    assert all(map(torch.equal, first.everything, later.everything))
    again = [(x["step"], x["action"]) for x in service.events if x["kind"] == "guard"]
    assert again == told == [(step, "skip_step") for step in skipped]
    torch.testing.assert_close(service.scalar("clip_norm"), clipped, equal_nan=True)
    torch.testing.assert_close(service.scalar("grad_norm"), norms, equal_nan=True)
    assert [service.scalar("skipped")[step] for step in skipped] == [1.0] * 3


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_step_under_an_armed_guard_makes_nobody_wait(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    run, job = open_run(), Job(make)
    monitor = run.watch(job.model, job.optimizer)
    armed(run, service, **LIMITS)
    for step in range(8):
        loss = job.backward(EXPLOSION.get(step + 10, 1.0))
        with Waits() as waits, Transfers() as transfers:
            assert monitor.step(loss=loss)
        if step:  # before the first update there are no moments yet
            assert waits.seen == []
            read = 0 if step == 1 else 1  # of the step before
            assert transfers.seen == ["cpu", *["numpy"] * read]
        job.optimizer.step()


def test_an_optimizer_that_cannot_leave_an_update_out_is_judged_by_the_host(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    job = Job(lambda parameters: torch.optim.Adam(parameters, lr=0.01))
    passed = trained(job, open_run(), service, EXPLOSION, **LIMITS)
    assert [step for step, is_passed in enumerate(passed) if not is_passed] == [13, 14, 20]


def test_past_the_last_skip_in_a_row_the_host_mends_the_gradient(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    job = Job(OPTIMIZERS["adamw"])
    factors = dict.fromkeys(range(10, 16), math.nan)
    trained(job, open_run(), service, factors, **LIMITS)
    told = [(x["step"], x["action"]) for x in service.events if x["kind"] == "guard"]
    actions = ["skip_step"] * 4 + ["sanitise", "skip_step"]
    assert told == list(zip(range(10, 16), actions, strict=True))
    assert all(bool(one.isfinite().all()) for one in job.everything)


def test_what_a_scaler_found_infinite_stays_left_out(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    run, job = open_run(), Job(OPTIMIZERS["adam"])
    monitor = run.watch(job.model, job.optimizer)  # not told of the scaler
    job.backward(1.0)
    monitor.step()
    job.optimizer.step()
    armed(run, service)
    job.backward(1.0)
    monitor.step()
    before = job.everything
    job.optimizer.found_inf = theirs = torch.ones(())
    job.optimizer.step()
    assert job.optimizer.found_inf is theirs
    assert all(map(torch.equal, job.everything, before))


def test_closing_takes_the_hooks_out_of_the_optimizer(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytorch, "READ_LATER", ("cpu",))
    run, job = open_run(), Job(OPTIMIZERS["adam"])
    monitor = run.watch(job.model, job.optimizer)
    job.backward(1.0)
    monitor.step()
    job.optimizer.step()
    armed(run, service, **LIMITS)
    job.backward(1e9)
    monitor.step()
    assert job.optimizer._optimizer_step_pre_hooks
    monitor.close()
    assert not job.optimizer._optimizer_step_pre_hooks
    assert not job.optimizer._optimizer_step_post_hooks
