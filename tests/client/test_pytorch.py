"""Real models, really trained: what the monitor reports is compared with torch's own numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from gradwatch.integrations import pace, probe, pytorch  # noqa: E402
from gradwatch.integrations.foreach import at_hand  # noqa: E402
from gradwatch.launch import Launch  # noqa: E402
from gradwatch.off import OffMonitor  # noqa: E402
from gradwatch.run import Run  # noqa: E402
from gradwatch.values import MISSING32_BITS  # noqa: E402
from tests.client.conftest import RUN_ID, OpenRun  # noqa: E402
from tests.client.memory_service import MemoryService, problem  # noqa: E402

pytestmark = pytest.mark.torch

GUARD = {
    "max_norm": 1e9,
    "skip_above": None,
    "skip_nonfinite": True,
    "max_consecutive_skips": 4,
    "expires_step": 10_000,
}


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, params=[(), ("cpu",)], ids=["at once", "a step later"])
def read_later(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """As on a GPU, numbers may be read a step after they were measured."""
    devices: tuple[str, ...] = request.param
    monkeypatch.setattr(pytorch, "READ_LATER", devices)
    return bool(devices)


def mlp(dtype: Any = torch.float32) -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)).to(dtype)


def backward(model: Any, optimizer: Any, scale: float = 1.0) -> Any:
    """One real step up to the gradients: regression on the sum of the inputs."""
    parameter = next(model.parameters())
    inputs = torch.randn(32, 6, dtype=parameter.dtype)
    optimizer.zero_grad()
    loss = scale * ((model(inputs) - inputs.sum(1, keepdim=True)) ** 2).mean()
    loss.backward()
    return loss


def armed(run: Run, service: MemoryService, **limits: Any) -> None:
    """Let the run receive a guard."""
    service.guard = GUARD | limits
    run.event("note")
    assert run.flush(10.0)


def norm_of(tensors: list[Any]) -> list[float]:
    return [float(torch.linalg.vector_norm(tensor.detach().double())) for tensor in tensors]


def column(service: MemoryService, stat: str) -> Any:
    """A statistic of all steps; None where it was not measured."""
    rows: list[list[float | None]] = []
    for item in service.stored:
        block = item.frame.layers.get(stat)
        for i in range(len(item.frame)):
            if block is None:
                rows.append([None] * 4)
                continue
            missing = block[i].view(np.uint32) == MISSING32_BITS
            rows.append([None if m else float(v) for v, m in zip(block[i], missing, strict=True)])
    return rows


def steps_of(service: MemoryService, stat: str) -> list[int]:
    """The steps at which a statistic was measured."""
    rows = zip(service.steps, column(service, stat), strict=True)
    return [step for step, row in rows if row[0] is not None]


def test_the_reported_numbers_are_those_of_torch(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    monitor = run.watch(model, optimizer)
    parameters = list(model.parameters())
    gradients, weights, updates, totals, losses = [], [], [], [], []
    for _ in range(6):
        loss = backward(model, optimizer)
        gradients.append(norm_of([parameter.grad for parameter in parameters]))
        weights.append(norm_of(parameters))
        totals.append(float(nn.utils.clip_grad_norm_(parameters, math.inf)))
        losses.append(float(loss.detach()))
        before = [parameter.detach().clone() for parameter in parameters]
        assert monitor.step(loss=loss)
        optimizer.step()
        updates.append(norm_of([b - p for b, p in zip(before, parameters, strict=True)]))
    run.finish()
    assert service.steps == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(column(service, "grad_norm"), gradients, rtol=1e-6)
    np.testing.assert_allclose(column(service, "weight_norm"), weights, rtol=1e-6)
    np.testing.assert_allclose(column(service, "update_norm")[:5], updates[:5], rtol=1e-6)
    assert column(service, "update_norm")[5] == [None] * 4
    np.testing.assert_allclose(service.scalar("grad_norm"), totals, rtol=1e-6)
    np.testing.assert_allclose(service.scalar("loss"), losses, rtol=1e-7)
    assert service.scalar("lr") == [0.01] * 6
    config = service.runs[RUN_ID]["config"]
    assert config == {
        "autopilot": 1,
        "framework": "pytorch",
        "optimizer": "AdamW",
        "betas": [0.9, 0.999],
        "weight_norm_every": 1,
        "update_norm_every": 1,
    }


def test_the_layers_are_described(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    backward(model, optimizer)
    monitor.step()
    run.finish()
    layers = service.runs[RUN_ID]["layers"]
    assert [(layer["name"], layer["kind"], layer["depth"]) for layer in layers] == [
        ("0.weight", "linear", 0),
        ("0.bias", "bias", 0),
        ("2.weight", "head", 1),
        ("2.bias", "bias", 1),
    ]
    assert layers[0]["shape"] == [16, 6]
    assert layers[0]["activation"] == "tanh"


def test_the_guard_clips_as_clip_grad_norm_does(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    armed(run, service, max_norm=0.25)
    backward(model, optimizer)
    parameters = list(model.parameters())
    raw = [parameter.grad.clone() for parameter in parameters]
    assert monitor.step()
    clipped = [parameter.grad.clone() for parameter in parameters]
    for parameter, gradient in zip(parameters, raw, strict=True):
        parameter.grad = gradient
    total = float(nn.utils.clip_grad_norm_(parameters, 0.25))
    assert total > 0.25
    for ours, theirs in zip(clipped, parameters, strict=True):
        torch.testing.assert_close(ours, theirs.grad, rtol=1e-6, atol=0.0)
    run.finish()
    assert service.scalar("grad_norm") == pytest.approx([total], rel=1e-6)
    assert service.scalar("clip_norm") == pytest.approx([0.25], rel=1e-5)


def test_without_a_need_gradients_are_left_alone(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    armed(run, service)
    backward(model, optimizer)
    raw = [parameter.grad.clone() for parameter in model.parameters()]
    assert monitor.step()
    for parameter, gradient in zip(model.parameters(), raw, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_poisoned_batch_is_skipped_and_training_survives(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = run.watch(model, optimizer)
    armed(run, service, skip_above=1e4)
    taken = []
    for step in range(12):
        loss = backward(model, optimizer, {4: math.nan, 7: 1e9}.get(step, 1.0))
        taken.append(monitor.step(loss=loss))
        if taken[-1]:
            optimizer.step()
    run.finish()
    assert [step for step, done in enumerate(taken) if not done] == [4, 7]
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    loss = service.scalar("loss")
    assert math.isnan(loss[4])
    assert loss[-1] < loss[0]
    updates = column(service, "update_norm")
    assert updates[4] == updates[7] == [0.0] * 4
    skips = [event["step"] for event in service.events if event["kind"] == "guard"]
    assert skips == [4, 7]


class Synchronisations(TorchDispatchMode):
    """Counts operators that make the host wait for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.partition("::")[2]
        if name in ("_local_scalar_dense", "item", "is_nonzero", "nonzero", "equal", "stack"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class Transfers(TorchFunctionMode):
    """Counts methods that bring values to the host."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ("cpu", "numpy", "item", "tolist", "__float__", "__bool__", "__int__"):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_a_step_brings_everything_over_in_one_transfer(
    open_run: OpenRun, *, read_later: bool
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01))
    monitor = run.watch(model, optimizer)
    for step in range(3):
        loss = backward(model, optimizer)
        extra = torch.tensor(2.0)
        with Synchronisations() as synchronisations, Transfers() as transfers:
            monitor.step(loss=loss, loss_scale=extra, seq_len=12)
        optimizer.step()
        assert synchronisations.seen == ["stack"]
        assert transfers.seen == ["cpu", "numpy"][: 1 if read_later and step == 0 else 2]


@pytest.mark.parametrize(("level", "arms"), [(0, True), (1, False), (1, True), (2, False)])
def test_numbers_are_awaited_only_where_they_may_change_the_update(
    open_run: OpenRun, service: MemoryService, *, read_later: bool, level: int, arms: bool
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, autopilot=level)
    if arms:
        armed(run, service)
    backward(model, optimizer)
    with Transfers() as transfers:
        assert monitor.step()
    waits = level > 1 or (level == 1 and arms)
    assert transfers.seen == (["cpu", "numpy"] if waits or not read_later else ["cpu"])
    run.finish()
    assert service.steps == [0]


def test_scalars_may_be_tensors_or_numbers(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=torch.tensor(0.5))
    monitor = run.watch(model, optimizer)
    backward(model, optimizer)
    wrong: Any = torch.ones(3)
    assert monitor.step(loss=torch.tensor([2.5]), loss_scale=1024, batch_size=wrong, note="x")
    run.finish()
    assert service.scalar("loss") == [2.5]
    assert service.scalar("lr") == [0.5]
    assert service.scalar("loss_scale") == [1024.0]
    assert "batch_size" not in service.stored[0].frame.scalars
    assert run.counts.malformed == 2


def test_a_tensor_may_be_logged_without_a_monitor(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    run.log(0, loss=torch.tensor(1.5, requires_grad=True), wide=torch.ones(2))
    run.finish()
    assert service.scalar("loss") == [1.5]
    assert run.counts.malformed == 1


def test_double_precision_is_kept(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp(torch.float64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    loss = backward(model, optimizer)
    monitor.step(loss=loss)
    run.finish()
    assert service.scalar("loss") == [float(loss.detach())]
    total = math.hypot(*norm_of([parameter.grad for parameter in model.parameters()]))
    assert service.scalar("grad_norm") == pytest.approx([total], rel=1e-6)


def test_half_precision_does_not_overflow_and_sends_the_largest_gradient(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp(torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 60_000.0)
    monitor.step()
    run.finish()
    sizes = [96, 16, 16, 1]
    expected: Any = [[60_000.0 * math.sqrt(size) for size in sizes]]
    np.testing.assert_allclose(column(service, "grad_norm"), expected, rtol=1e-3)
    np.testing.assert_allclose(column(service, "grad_max"), [[60_000.0] * 4], rtol=1e-3)


def test_what_has_no_gradient_is_not_measured(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    assert monitor.step()
    backward(model, optimizer)
    model[0].bias.grad = None
    assert monitor.step()
    run.finish()
    first, second = column(service, "grad_norm")
    assert first == [None] * 4
    assert second[1] is None
    assert None not in (second[0], second[2], second[3])
    assert "grad_max" not in service.stored[0].frame.layers
    assert math.isnan(service.scalar("grad_norm")[0])


def test_frozen_and_shared_parameters_are_watched_as_they_are(
    open_run: OpenRun, service: MemoryService
) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 6, bias=False)
            self.second = nn.Linear(6, 6, bias=False)
            self.second.weight = self.first.weight
            self.frozen = nn.Linear(6, 1)
            self.frozen.requires_grad_(False)

        def forward(self, inputs: Any) -> Any:
            return self.frozen(self.second(self.first(inputs)))

    run, model = open_run(), Tied()
    optimizer = torch.optim.SGD([model.first.weight], lr=0.1)
    monitor = run.watch(model, optimizer)
    backward(model, optimizer)
    monitor.step()
    run.finish()
    assert [layer["name"] for layer in service.runs[RUN_ID]["layers"]] == ["first.weight"]


def test_sparse_gradients_are_measured_and_clipped(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    model: Any = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    armed(run, service, max_norm=1e-3)
    model(torch.tensor([1, 1, 3])).sum().backward()
    dense = model[0].weight.grad.to_dense()
    assert monitor.step()
    after = model[0].weight.grad.to_dense()
    run.finish()
    assert column(service, "grad_norm")[0][0] == pytest.approx(float(dense.norm()), rel=1e-6)
    factor = service.scalar("clip_norm")[0] / service.scalar("grad_norm")[0]
    torch.testing.assert_close(after, dense * factor, rtol=1e-5, atol=0.0)
    assert factor < 0.01


def test_a_model_of_nothing_but_sparse_gradients_is_clipped(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    model: Any = nn.Embedding(10, 4, sparse=True)
    monitor = run.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    armed(run, service, max_norm=1e-3)
    model(torch.tensor([1, 3])).sum().backward()
    assert monitor.step()
    run.finish()
    assert float(model.weight.grad.coalesce().values().norm()) == pytest.approx(1e-3, rel=1e-3)


def test_weights_and_updates_of_a_large_model_are_measured_at_every_eighth_step(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "EVERY_STEP_BYTES", 100)
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for _ in range(13):
        backward(model, optimizer)
        monitor.step()
        optimizer.step()
    run.finish()
    for stat, every in (("grad_norm", 1), ("weight_norm", 8), ("update_norm", 8)):
        assert steps_of(service, stat) == list(range(0, 13, every))
    assert service.steps == list(range(13))
    config = service.runs[RUN_ID]["config"]
    assert config["weight_norm_every"] == config["update_norm_every"] == 8


def test_nothing_but_norms_of_gradients_is_measured_if_that_is_wanted(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, statistics="norms")
    for _ in range(3):
        monitor.step(loss=backward(model, optimizer))
        optimizer.step()
    run.finish()
    assert {name for item in service.stored for name in item.frame.layers} == {"grad_norm"}
    assert service.runs[RUN_ID]["config"]["weight_norm_every"] == 0


def test_full_statistics_are_those_of_torch_at_every_so_many_steps(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, statistics="full", every=2)
    for step in range(4):
        loss = backward(model, optimizer)
        model[0].weight.grad[:3] = 0.0
        if step == 2:
            model[2].weight.grad[0, :2] = math.inf
        gradients = [parameter.grad.clone() for parameter in model.parameters()]
        monitor.step(loss=loss)
        if step in (0, 2):
            expected = {
                "grad_max": [float(one.abs().max()) for one in gradients],
                "grad_mean": [float(one.mean()) for one in gradients],
                "grad_rms": [float(one.square().mean().sqrt()) for one in gradients],
                "grad_zero": [float((one == 0).float().mean()) for one in gradients],
                "grad_nonfinite": [float((~one.isfinite()).sum()) for one in gradients],
            }
            run.flush(10.0)
            monitor.flush()
            assert run.flush(10.0)
            for stat, values in expected.items():
                np.testing.assert_allclose(column(service, stat)[step], values, rtol=1e-5)
        optimizer.zero_grad()
    run.finish()
    assert steps_of(service, "grad_max") == [0, 2]
    assert steps_of(service, "grad_norm") == [0, 1, 2, 3]


def test_a_gradient_that_is_no_number_has_the_weights_measured_at_once(
    open_run: OpenRun, service: MemoryService, *, read_later: bool
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer, every=16)
    for step in range(8):
        monitor.step(loss=backward(model, optimizer, math.nan if step == 4 else 1.0))
    run.finish()
    assert steps_of(service, "weight_norm") == [0, 6 if read_later else 4]


def test_watching_over_budget_measures_more_seldom_and_says_so(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "WINDOW_SECONDS", 0.0)
    monkeypatch.setattr(pace, "BUDGET", 1e-9)
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for _ in range(150):
        monitor.step(loss=backward(model, optimizer))
        optimizer.step()
    run.finish()
    (told,) = [event for event in service.events if event["kind"] == "sampling"]
    assert (told["step"], told["every"]) == (128, 2)
    assert told["share"] > 0
    assert f"watching took {told['share']:.1%} of a step" in told["text"]
    assert steps_of(service, "weight_norm") == [*range(129), *range(130, 150, 2)]


def test_updates_of_a_huge_model_are_not_measured(
    open_run: OpenRun, service: MemoryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "COPY_MAX_BYTES", 100)
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for _ in range(2):
        backward(model, optimizer)
        monitor.step()
        optimizer.step()
    run.finish()
    assert column(service, "update_norm") == [[None] * 4] * 2
    assert service.runs[RUN_ID]["config"]["update_norm_every"] == 0


def test_steps_count_from_where_the_run_resumes(open_run: OpenRun, service: MemoryService) -> None:
    run, model = open_run(Launch(RUN_ID, "lm", "l2", resume_step=500)), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for _ in range(2):
        backward(model, optimizer)
        monitor.step()
    run.finish()
    assert service.steps == [500, 501]
    assert service.runs[RUN_ID]["resume_step"] == 500


def test_training_goes_on_while_the_service_is_away(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = run.watch(model, optimizer)
    service.faults.extend([problem(503) for _ in range(8)])
    losses = []
    for _ in range(60):
        loss = backward(model, optimizer)
        if monitor.step(loss=loss):
            optimizer.step()
        losses.append(float(loss.detach()))
    run.finish()
    assert sum(losses[-10:]) < sum(losses[:10])
    assert service.steps == list(range(60))


Wrong = Callable[[], tuple[Any, Any]]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: (object(), None), "needs a torch.nn.Module and a torch.optim.Optimizer"),
        (lambda: (mlp(), "sgd"), "needs a torch.nn.Module and a torch.optim.Optimizer"),
        (lambda: (nn.Linear(2, 2).requires_grad_(False), sgd()), "no trainable floating-point"),
        (lambda: (nn.Linear(2, 2, device="meta"), sgd()), "no trainable floating-point"),
        (lambda: (nn.LazyLinear(2), sgd()), "after the first forward pass of a lazy module"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_cannot_be_watched_is_said_and_the_job_goes_on(
    open_run: OpenRun, warnings_logged: Callable[[], list[str]], make: Wrong, reason: str
) -> None:
    monitor = open_run().watch(*make())
    assert isinstance(monitor, OffMonitor)
    assert monitor.step(loss=torch.tensor(1.0))
    (warning,) = warnings_logged()
    assert reason in warning


def sgd() -> Any:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)


def test_a_failure_of_torch_ends_the_watching_not_the_job(
    open_run: OpenRun, warnings_logged: Callable[[], list[str]]
) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    backward(model, optimizer)
    assert monitor.step()
    model[0].weight.data = torch.zeros(2, 2)  # as no optimizer would
    assert monitor.step()
    assert monitor.step()
    (warning,) = warnings_logged()
    assert "watching the model has ended" in warning


def test_the_step_before_a_failure_is_reported(open_run: OpenRun) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    for _ in range(3):
        backward(model, optimizer)
        monitor.step()
    model[0].weight.data = torch.zeros(2, 2)  # as no optimizer would
    monitor.step()
    run.finish()
    assert run.counts.observed == 3


def test_what_is_on_the_host_is_not_sent_to_the_device() -> None:
    scalars = {"lr": torch.tensor(0.1), "loss": torch.tensor(2.0, device="meta"), "step": 3}
    assert at_hand(scalars, torch.device("cuda")) == {"lr": pytest.approx(0.1)}
    assert at_hand(scalars, torch.device("cpu")) == {}


def test_a_forked_child_does_not_report_the_step_of_its_parent(open_run: OpenRun) -> None:
    run, model = open_run(), mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monitor = run.watch(model, optimizer)
    backward(model, optimizer)
    monitor.step()
    run.rebuild_after_fork()
    run.finish()
    assert run.counts.observed == 0
