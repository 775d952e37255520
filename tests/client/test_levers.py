"""Every action on real models and optimizers: what it does, and that its undo takes it back."""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

from gradwatch.guard import Guard  # noqa: E402
from gradwatch.integrations import levers  # noqa: E402
from gradwatch.integrations.bench import Bench, Undo  # noqa: E402
from gradwatch.integrations.module_tree import describe  # noqa: E402
from gradwatch.watching import Means  # noqa: E402

pytestmark = pytest.mark.torch

ACTIONS = [module.name for module in pkgutil.iter_modules(levers.__path__)]


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(5)


def mlp() -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


def bench_of(model: Any, optimizer: Any = None, **means: Any) -> Bench:
    chosen = optimizer or torch.optim.Adam(model.parameters(), lr=0.01)
    return Bench.of(describe(model), chosen, Means(3, **means), 0)


def pull(bench: Bench, action: str, **params: Any) -> Undo | None:
    lever = levers.find(action)
    assert lever is not None
    with torch.no_grad():
        return lever(bench, params, f"advice about {action}")


def backward(model: Any, optimizer: Any) -> None:
    inputs = torch.randn(8, 6)
    optimizer.zero_grad()
    (model(inputs) - inputs.sum(1, keepdim=True)).square().mean().backward()


def train(model: Any, optimizer: Any, steps: int) -> None:
    for _ in range(steps):
        backward(model, optimizer)
        optimizer.step()


def weights(model: Any) -> list[Any]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_a_file_that_says_its_name(action: str) -> None:
    source = Path(levers.__path__[0], f"{action}.py").read_text()
    assert source.startswith(f'"""{action} {{')
    assert levers.find(action) is not None


def test_an_unknown_action_has_no_lever() -> None:
    assert levers.find("change_model") is None
    assert levers.find("__init__") is None


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("scale_lr", {}),
        ("scale_lr", {"factor": 0.0}),
        ("scale_lr", {"factor": "NaN"}),
        ("cap_lr", {"max_lr": None}),
        ("cap_lr", {"max_lr": -1.0}),
        ("warmup_lr", {"steps": 0, "start_factor": 0.01}),
        ("warmup_lr", {"steps": 100}),
        ("warmup_lr", {"steps": 100, "start_factor": 2.0}),
        ("set_adam", {"beta2": 1.0}),
        ("set_adam", {"eps": 1e-8}),
        ("shrink_layer_grad", {"layer": "9.weight", "alpha": 0.1, "steps": 5}),
        ("shrink_layer_grad", {"layer": "0.weight", "alpha": 1.0, "steps": 5}),
        ("shrink_layer_grad", {"layer": "0.weight", "alpha": 0.1}),
        ("set_loss_scale", {"loss_scale": 4.0}),
        ("clip_grad_norm", {"max_norm": None}),
        ("skip_step", {}),
        ("arm_guard", {}),
        ("truncate_bptt", {"time_steps": 8}),
        ("truncate_bptt", {"time_steps": 0}),
        ("checkpoint_now", {}),
        ("rollback", {"to_step": 3, "skip_data_to_step": 9}),
        ("reset_moments", {}),
        ("reinit_layers", {}),
        ("reinit_layers", {"divide_by": {}}),
        ("reinit_layers", {"divide_by": {"0.weight": 2.0, "9.weight": 2.0}}),
        ("reinit_layers", {"divide_by": {"0.weight": 0.0}}),
        ("reinit_layers", {"layers": ["0.weight"], "method": "zeros"}),
        ("reinit_layers", {"layers": [], "method": "orthogonal"}),
        ("reinit_layers", {"layers": ["0.bias"], "method": "orthogonal"}),
        ("reinit_layers", {"layers": ["0.weight", "9.weight"], "method": "orthogonal"}),
    ],
)
def test_what_makes_no_sense_here_is_refused_and_changes_nothing(
    action: str, params: dict[str, Any]
) -> None:
    model = mlp()
    bench = bench_of(model)
    before = weights(model)
    assert pull(bench, action, **params) is None
    assert all(map(torch.equal, before, weights(model)))
    assert not bench.optimizer._optimizer_step_pre_hooks


def test_the_second_moment_gets_another_memory_while_a_scheduler_moves_the_first() -> None:
    class Recording(torch.optim.AdamW):
        used: list[Any] = []  # noqa: RUF012

        def step(self, closure: Any = None) -> Any:
            group = self.param_groups[0]
            self.used.append((*group["betas"], group["eps"]))
            return super().step(closure)

    model = mlp()
    optimizer = Recording(model.parameters(), lr=0.01)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    bench = bench_of(model, optimizer)
    for step in range(9):
        undo = pull(bench, "set_adam", beta2=0.95, eps=1e-6) if step == 3 else None
        train(model, optimizer, 1)
        cycle.step()
        assert optimizer.param_groups[0]["betas"][1] == 0.999
        if undo is not None:
            taking_back = undo
        if step == 5:
            taking_back()
    firsts, seconds, floors = zip(*optimizer.used, strict=True)
    assert seconds == (0.999,) * 3 + (0.95,) * 3 + (0.999,) * 3
    assert floors == (1e-8,) * 3 + (1e-6,) * 3 + (1e-8,) * 3
    assert len(set(firsts)) == 9


def test_an_optimizer_without_moments_has_none_to_set_or_reset() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, optimizer, 2)
    bench = bench_of(model, optimizer)
    assert pull(bench, "set_adam", beta2=0.95) is None
    assert pull(bench, "reset_moments") is None


def test_one_layer_learns_slowly_for_a_while_and_then_comes_back() -> None:
    model = mlp()
    bench = bench_of(model)
    params = {"layer": "0.weight", "alpha": 0.1, "steps": 3, "ramp_steps": 2}
    assert pull(bench, "shrink_layer_grad", **params) is not None
    factors = []
    for step in range(8):
        backward(model, bench.optimizer)
        raw = [parameter.grad.clone() for parameter in model.parameters()]
        bench.damping.apply(step)
        damped = [parameter.grad for parameter in model.parameters()]
        assert all(map(torch.equal, raw[1:], damped[1:]))
        factors.append(float((damped[0] / raw[0]).mean()))
    assert factors == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.4, 0.7, 1.0, 1.0])


def test_a_layer_without_a_gradient_is_not_damped_and_an_undo_ends_it() -> None:
    model = mlp()
    bench = bench_of(model)
    undo = pull(bench, "shrink_layer_grad", layer="0.weight", alpha=0.1, steps=50)
    assert undo is not None
    bench.damping.apply(1)
    backward(model, bench.optimizer)
    raw = model[0].weight.grad.clone()
    undo()
    bench.damping.apply(2)
    assert torch.equal(model[0].weight.grad, raw)


def test_the_loss_scale_changes_for_the_next_step_and_not_for_this_one() -> None:
    model, scaler = mlp(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    bench = bench_of(model, optimizer, scaler=scaler)
    inputs = torch.randn(8, 6)
    for step in range(3):
        optimizer.zero_grad()
        scaler.scale(model(inputs).square().mean()).backward()
        scaler.unscale_(optimizer)
        before, gradients = weights(model), [p.grad.clone() for p in model.parameters()]
        if step == 1:
            assert pull(bench, "set_loss_scale", loss_scale=64.0) is not None
        scaler.step(optimizer)
        scaler.update()
        for old, new, gradient in zip(before, weights(model), gradients, strict=True):
            torch.testing.assert_close(new, old - 0.1 * gradient)
    assert scaler.get_scale() == 64.0


def test_a_scaler_that_is_switched_off_has_no_scale_to_set() -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    assert pull(bench_of(mlp(), scaler=scaler), "set_loss_scale", loss_scale=4.0) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, lr=0.01),
        lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
        lambda p: torch.optim.Adamax(p, lr=0.01),
        lambda p: torch.optim.RAdam(p, lr=0.01),
        lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
        lambda p: torch.optim.Adadelta(p, lr=0.1),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True),
    ],
)
def test_after_a_reset_the_optimizer_is_like_a_new_one(make: Callable[[Any], Any]) -> None:
    model = mlp()
    optimizer = make(model.parameters())
    train(model, optimizer, 12)
    twin = mlp()
    twin.load_state_dict(model.state_dict())
    assert pull(bench_of(model, optimizer), "reset_moments") is not None
    fresh = make(twin.parameters())
    for _ in range(5):
        state = torch.get_rng_state()
        train(model, optimizer, 1)
        torch.set_rng_state(state)
        train(twin, fresh, 1)
    for ours, theirs in zip(weights(model), weights(twin), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_step_count_that_is_no_tensor_is_reset_too() -> None:
    bench = bench_of(mlp())
    bench.optimizer.state[bench.parameters["0.weight"]] = {"step": 7, "other": 7}
    assert pull(bench, "reset_moments") is not None
    assert list(bench.optimizer.state.values()) == [{"step": 0, "other": 7}]


def test_the_rate_rises_from_here_on_to_its_target() -> None:
    bench = bench_of(mlp())
    bench.step = bench.rate.step = 40
    undo = pull(bench, "warmup_lr", steps=100, target_lr=0.02, start_factor=0.01)
    assert undo is not None
    rates = []
    for step in (40, 90, 140, 500):
        bench.rate.step = step
        rates.append(bench.rate.effective(0.03))
    assert rates == pytest.approx([0.0002, 0.0101, 0.02, 0.02])
    undo()
    assert bench.rate.effective(0.03) == 0.03
    bench.rate.step = bench.step
    assert pull(bench, "warmup_lr", steps=100, start_factor=0.5) is not None
    assert bench.rate.effective(0.03) == 0.015


def test_initial_weights_are_divided_by_their_gain() -> None:
    model = mlp()
    before = weights(model)
    gains = {"0.weight": 4.0, "2.weight": 2.0}
    assert pull(bench_of(model), "reinit_layers", divide_by=gains) is not None
    after = weights(model)
    assert torch.equal(after[0], before[0] / 4.0)
    assert torch.equal(after[2], before[2] / 2.0)
    assert torch.equal(after[1], before[1])


def test_recurrent_matrices_become_orthogonal_gate_by_gate_and_alike_on_every_rank() -> None:
    drawn = []
    for seed in (1, 2):  # ranks differ in what they drew before
        torch.manual_seed(seed)
        model = nn.GRU(8, 16)
        layers = ["weight_hh_l0"]
        params = {"layers": layers, "method": "orthogonal", "spectral_radius": 0.95}
        assert pull(bench_of(model), "reinit_layers", **params) is not None
        drawn.append(model.weight_hh_l0.detach())
    assert torch.equal(*drawn)
    for gate in drawn[0].split(16):
        torch.testing.assert_close(gate @ gate.T, 0.95**2 * torch.eye(16))


def test_the_guard_clips_at_the_advised_limit_until_it_knows_its_own() -> None:
    bench = bench_of(mlp())
    undo = pull(bench, "clip_grad_norm", max_norm=3.0)
    assert undo is not None
    assert (bench.limits.max_norm, bench.limits.skip_nonfinite) == (3.0, False)
    bench.guard = Guard(skip_above=50.0, expires_step=100)
    assert bench.limits == Guard(3.0, 50.0, expires_step=100)
    bench.guard = Guard(max_norm=7.0, expires_step=100)
    assert bench.limits is bench.guard
    bench.guard, bench.step = Guard(), 257
    assert bench.limits is bench.guard
    bench.step = 0
    undo()
    assert bench.limits is bench.guard


def test_skipping_is_up_to_the_armed_guard() -> None:
    bench = bench_of(mlp())
    bench.guard = Guard(expires_step=0)
    assert pull(bench, "skip_step") is not None
    assert pull(bench, "arm_guard") is not None


def test_a_loop_that_reads_the_limit_is_taken_to_obey_it() -> None:
    bench = bench_of(nn.RNN(2, 4))
    assert bench.truncation.read() is None
    undo = pull(bench, "truncate_bptt", time_steps=12)
    assert bench.truncation.read() == 12
    assert undo is not None
    undo()
    assert bench.truncation.read() is None


def test_a_callback_is_told_how_far_to_go_back_in_time() -> None:
    told: list[int | None] = []
    bench = bench_of(nn.RNN(2, 4), truncate=told.append)
    undo = pull(bench, "truncate_bptt", time_steps=12)
    assert undo is not None
    undo()
    assert told == [12, None]


def loading(told: list[Any]) -> Mapping[str, Callable[..., object]]:
    def by_name(step: int, *, skip_data_to: int) -> None:
        told.append((step, skip_data_to))

    def with_more(step: int, **more: int) -> None:
        told.append((step, more["skip_data_to"]))

    def with_default(step: int, strict: bool = True) -> None:
        told.append((step, strict))

    return {
        "by name": by_name,
        "with more": with_more,
        "by position": lambda step, until: told.append((step, until)),
        "with default": with_default,
        "step only": lambda step: told.append((step, None)),
        "method of a builtin": told.append,
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("by name", (3, 9)),
        ("with more", (3, 9)),
        ("by position", (3, 9)),
        ("with default", (3, True)),
        ("step only", (3, None)),
        ("method of a builtin", 3),
    ],
)
def test_load_gets_what_it_can_take(kind: str, expected: object) -> None:
    told: list[Any] = []
    bench = bench_of(mlp(), load=loading(told)[kind])
    assert pull(bench, "rollback", to_step=3, skip_data_to_step=9) is not None
    assert told == [expected]


def test_a_function_that_hides_its_arguments_gets_the_step() -> None:
    bench = bench_of(mlp(), load=dir)
    assert pull(bench, "rollback", to_step=3, skip_data_to_step=9) is not None


def test_a_checkpoint_is_saved_now() -> None:
    saved: list[int] = []
    bench = bench_of(mlp(), save=saved.append)
    bench.step = 77
    assert pull(bench, "checkpoint_now") is not None
    assert saved == [77]


def test_a_callback_may_say_that_it_could_not(caplog: pytest.LogCaptureFixture) -> None:
    def no_room(_step: int) -> None:
        raise OSError("no space left on device")

    assert pull(bench_of(mlp(), save=lambda _step: False), "checkpoint_now") is None
    assert caplog.records == []
    assert pull(bench_of(mlp(), save=no_room), "checkpoint_now") is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "the save callback failed" in record.getMessage()
