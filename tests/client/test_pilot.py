"""Real trainings that follow a service whose answers are written down: what is done, and told."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

from gradwatch.launch import Launch  # noqa: E402
from gradwatch.run import Run  # noqa: E402
from tests.client.autopilot.service_says import advice, alert  # noqa: E402
from tests.client.conftest import RUN_ID, OpenRun  # noqa: E402
from tests.client.memory_service import MemoryService  # noqa: E402

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


def mlp() -> Any:
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


def say(run: Run, service: MemoryService, *items: dict[str, Any], **limits: Any) -> None:
    """Let the run hear of a guard, and of an alert if there is advice."""
    service.guard, service.advice = GUARD | limits, list(items)
    service.alerts, service.health = ([alert()], "critical") if items else ([], "ok")
    run.event("note")
    assert run.flush(10.0)


@dataclass
class Job:
    """A regression; ``faults``: step -> factor of the loss, ``heard``: flush after every step."""

    run: Run
    options: dict[str, Any] = field(default_factory=dict)
    faults: dict[int, float] = field(default_factory=dict)
    heard: bool = True
    model: Any = field(default_factory=mlp)
    made: list[bool] = field(default_factory=list)
    saved: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)
        self.monitor = self.run.watch(self.model, self.optimizer, **self.options)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            loss = self.backward(self.faults.get(len(self.made), 1.0))
            self.made.append(self.monitor.step(loss=loss))
            if self.made[-1]:
                self.optimizer.step()
            if self.heard:
                assert self.run.flush(10.0)

    def backward(self, scale: float) -> Any:
        inputs = torch.randn(32, 6)
        self.optimizer.zero_grad()
        loss = scale * (self.model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        return loss

    @property
    def refused(self) -> list[int]:
        return [step for step, made in enumerate(self.made) if not made]

    @property
    def weights(self) -> list[Any]:
        return [parameter.detach().clone() for parameter in self.model.parameters()]

    @property
    def is_finite(self) -> bool:
        return all(bool(weight.isfinite().all()) for weight in self.weights)

    def save(self, step: int) -> None:
        self.saved[step] = copy.deepcopy(self.model.state_dict())


def told(service: MemoryService, kind: str = "advice") -> list[tuple[int, str, str]]:
    return [
        (event["step"], event.get("action", ""), event.get("status", ""))
        for event in service.events
        if event["kind"] == kind
    ]


def values(service: MemoryService, name: str) -> dict[int, float]:
    """A scalar by step, where it was reported."""
    found = zip(service.steps, service.scalar(name), strict=True)
    return {step: value for step, value in found if not math.isnan(value)}


def test_level_0_only_observes(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    say(run, service, advice("scale_lr"), max_norm=1e-3)
    job = Job(run, {"autopilot": 0}, faults={3: math.nan})
    job.train(5)
    assert job.refused == []
    assert not job.is_finite
    assert run.actions == []
    assert values(service, "clip_norm") == {}


@pytest.mark.parametrize(
    ("level", "action", "became"),
    [
        (0, "clip_grad_norm", "declined"),
        (1, "rollback", "declined"),
        (1, "scale_lr", "declined"),
        (2, "scale_lr", "applied"),
    ],
)
def test_an_action_that_somebody_hands_to_the_job_is_done_once_or_declined(
    open_run: OpenRun, service: MemoryService, level: int, action: str, became: str
) -> None:
    loaded: list[int] = []
    run = open_run()
    say(run, service, advice(action, confidence=0.1, handed_by="ada"))
    means = {"autopilot": level, "load": loaded.append, "save": lambda _: True}
    job = Job(run, means)
    job.train(6)
    run.finish()
    assert told(service) == [(0, action, became)]
    assert [one["status"] for one in run.actions] == [became]
    assert loaded == []
    assert set(service.scalar("lr")) == ({0.025} if became == "applied" else {0.05})


def test_by_default_the_guard_acts_and_nothing_else(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service, advice("scale_lr"))
    job = Job(run, faults={3: math.nan})
    job.train(6)
    run.finish()
    assert job.refused == [3]
    assert values(service, "skipped") == {3: 1.0}
    assert run.actions == []
    assert set(service.scalar("lr")) == {0.05}


def test_the_level_comes_from_the_environment_unless_it_is_given(
    open_run: OpenRun, service: MemoryService
) -> None:
    lower, higher = open_run(autopilot=2), open_run(autopilot=0)
    for run, options in ((lower, {}), (higher, {"autopilot": 2})):
        say(run, service, advice("scale_lr"))
        Job(run, options).train(1)
        assert [action["action"] for action in run.actions] == ["scale_lr"]


def test_a_run_of_bad_gradients_is_mended_after_four_skips(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service, max_norm=2.0)
    job = Job(run, faults=dict.fromkeys(range(5, 12), math.nan))
    job.train(20)
    run.finish()
    assert job.refused == [5, 6, 7, 8, 10, 11]
    assert values(service, "sanitised") == {9: 6 * 16 + 16 + 16 + 1}
    assert job.is_finite
    loss = service.scalar("loss")
    assert loss[-1] < loss[0]
    actions = [(event["step"], event["action"]) for event in service.events if "action" in event]
    assert actions == [(step, "skip_step") for step in job.refused[:4]] + [
        (9, "sanitise"),
        (10, "skip_step"),
        (11, "skip_step"),
    ]


def test_what_is_finite_in_a_bad_gradient_is_clipped_and_used(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service, max_norm=2.0, max_consecutive_skips=0)
    job = Job(run)
    job.train(1)
    before = job.weights
    job.backward(1.0)
    job.model[0].weight.grad[2] = math.inf
    job.model[2].weight.grad.fill_(3e37)  # its square is no float32 any more
    assert job.monitor.step()
    gradients = [parameter.grad for parameter in job.model.parameters()]
    total = math.hypot(*(float(gradient.double().norm()) for gradient in gradients))
    assert total == pytest.approx(2.0, rel=1e-5)
    assert gradients[0][2].tolist() == [0.0] * 6
    job.optimizer.step()
    assert job.is_finite
    assert not torch.equal(job.weights[2], before[2])


def test_a_gradient_of_nothing_but_nan_becomes_nothing(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service, max_norm=2.0, max_consecutive_skips=0)
    model: Any = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Linear(4, 1))
    monitor = run.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    (model(torch.tensor([1, 1, 3])).sum() * math.nan).backward()
    assert monitor.step()
    for parameter in model.parameters():
        gradient = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
        assert not gradient.any()


def test_advice_is_followed_and_told(
    open_run: OpenRun, service: MemoryService, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gradwatch")
    run = open_run()
    say(run, service)
    job = Job(run, {"autopilot": 2})
    scheduler = torch.optim.lr_scheduler.ExponentialLR(job.optimizer, 0.9)
    job.train(2)
    say(run, service, advice("scale_lr", verify={"metric": "loss", "op": "<", "value": 1e9}))
    for _ in range(66):
        job.train(1)
        scheduler.step()
    run.finish()
    assert told(service) == [(2, "scale_lr", "applied"), (66, "scale_lr", "verified")]
    assert job.monitor.applied == ("scale_lr",)
    assert values(service, "lr")[1] == 0.05
    expected = [0.5 * 0.05 * 0.9**step for step in range(66)]
    assert [values(service, "lr")[step] for step in range(2, 68)] == pytest.approx(expected)
    assert job.optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.9**66)
    done = run.actions[0]
    assert (done["step"], done["action"], done["status"]) == (2, "scale_lr", "applied")
    assert done["params"] == {"factor": 0.5}
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "gradwatch"]
    assert lines == [
        ("WARNING", "gradwatch: step 2: Do scale_lr (applied)"),
        ("INFO", "gradwatch: step 66: Do scale_lr: loss < 1e+09 (verified)"),
    ]


def test_the_update_ratio_is_judged_as_the_service_does(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    check = {"metric": "update_ratio", "op": "<", "value": 1e-12, "within_steps": 20}
    say(run, service, advice("scale_lr", verify=check))
    Job(run, {"autopilot": 2}).train(21)
    assert [(one["step"], one["status"]) for one in run.actions] == [(0, "applied"), (20, "failed")]


def test_a_shrunk_gradient_is_reported_and_clipped_as_it_is_used(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    params = {"layer": "0.weight", "alpha": 0.0, "steps": 3, "ramp_steps": 0}
    say(run, service, advice("shrink_layer_grad", params=params))
    Job(run, {"autopilot": 2}).train(6)
    run.finish()
    first = [row[0] for row in service.stat("grad_norm")]
    assert [norm == 0.0 for norm in first] == [False, True, True, True, False, False]


def test_a_run_goes_back_to_a_checkpoint(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run(Launch(RUN_ID, "lm", "launch-1", resume_step=1000))
    say(run, service)
    loaded: list[tuple[int, int]] = []

    def load(step: int, skip_data_to: int) -> None:
        loaded.append((step, skip_data_to))
        job.model.load_state_dict(job.saved[step])

    def save(step: int) -> None:
        job.save(step)

    means = {"autopilot": 3, "save": save, "load": load, "save_every": 70}
    job = Job(run, means, heard=False)
    job.train(180)
    assert list(job.saved) == [1000, 1070, 1140]
    with torch.no_grad():
        job.model[0].weight.mul_(1000.0)
    params = {"to_step": None, "latest_step": 1100, "skip_data_to_step": 1400}
    say(run, service, advice("rollback", params=params))
    job.train(1)
    assert job.refused == [180]
    for ours, theirs in zip(job.weights, job.saved[1070].values(), strict=True):
        assert torch.equal(ours, theirs)
    job.train(5)
    run.finish()
    assert loaded == [(1070, 1400)]
    assert service.steps == list(range(1000, 1186))
    assert told(service, "checkpoint") == [(s, "", "") for s in (1000, 1070, 1140)]
    assert told(service) == [(1180, "rollback", "applied")]
    (resume,) = [event for event in service.events if event["kind"] == "resume"]
    assert (resume["step"], resume["from_step"]) == (1180, 1070)
    assert values(service, "skipped") == {1180: 1.0}
    updates = [row[0] for row in service.stat("update_norm")]
    assert updates[180] == 0.0  # the return itself is no update
    assert max(updates[181:185]) < 1.0


def test_lost_weights_without_a_checkpoint_stop_the_run(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    job = Job(run, {"autopilot": 3}, heard=False)
    job.train(3)
    assert not job.monitor.stopped
    with torch.no_grad():
        job.model[0].weight[0, 0] = math.nan
    job.train(3)
    run.finish()
    assert job.monitor.stopped
    assert job.refused == [3, 4, 5]
    assert told(service) == [(3, "rollback", "applied")]
    assert warnings_logged() == [
        "gradwatch: step 3: Some weights are no longer finite, and there is no checkpoint (applied)"
    ]


def test_what_this_job_has_no_means_for_is_declined(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    actions = ("set_loss_scale", "truncate_bptt", "skip_batches", "set_adam", "cap_lr")
    say(run, service, *(advice(action, params={"max_lr": 0.01}) for action in actions))
    Job(run, {"autopilot": 3}).train(5)
    assert [(one["action"], one["status"]) for one in run.actions] == [
        ("set_loss_scale", "declined"),
        ("truncate_bptt", "declined"),
        ("skip_batches", "declined"),
        ("set_adam", "declined"),
        ("cap_lr", "applied"),
    ]


def test_a_loop_reads_how_far_to_go_back_in_time(open_run: OpenRun, service: MemoryService) -> None:
    run = open_run()
    say(run, service)
    job = Job(run, {"autopilot": 2})
    assert job.monitor.bptt_steps is None
    say(run, service, advice("truncate_bptt", params={"time_steps": 20}))
    job.train(2)
    assert job.monitor.bptt_steps == 20
    job.train(65)
    assert job.monitor.bptt_steps is None  # the alert is still there: it did not help
    assert [status for _, _, status in told(service)] == ["applied", "failed", "undone"]


def test_a_lever_that_fails_inside_torch_is_declined(
    open_run: OpenRun, service: MemoryService, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    say(run, service)
    job = Job(run, {"autopilot": 3})
    say(run, service, advice("reinit_layers", params={"divide_by": {"0.weight": 2.0}}))
    frozen = torch.zeros(1).expand(16, 6)  # elements share memory: no kernel writes into it
    job.monitor._bench.parameters = {"0.weight": frozen}
    job.train(1)
    assert [(one["action"], one["status"]) for one in run.actions] == [
        ("reinit_layers", "declined")
    ]
    assert "reinit_layers could not be carried out" in warnings_logged()[0]


def test_under_a_loss_scaler_bad_gradients_are_left_to_it(
    open_run: OpenRun, service: MemoryService
) -> None:
    run, model = open_run(), mlp()
    say(run, service, max_norm=0.5)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=1000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    monitor = run.watch(model, optimizer, scaler=scaler)
    for _ in range(12):
        inputs = torch.randn(32, 6)
        optimizer.zero_grad()
        loss = 1e3 * (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert monitor.step(loss=loss)
        scaler.step(optimizer)
        scaler.update()
    run.finish()
    found = service.scalar("found_inf")
    infinite = int(sum(found))
    assert 4 < infinite < 12
    assert found == [1.0] * infinite + [0.0] * (12 - infinite)
    scales = [2.0 ** (127 - min(step, infinite)) for step in range(12)]
    assert service.scalar("loss_scale") == scales
    assert set(values(service, "clip_norm")) == set(range(infinite, 12))
    assert values(service, "skipped") == values(service, "sanitised") == {}


def test_a_scale_that_is_only_reported_counts_too(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service)
    job = Job(run)
    for scale, made in ((1024.0, True), (1.0, False)):  # 1: the scaler is switched off
        job.backward(math.inf)
        assert job.monitor.step(loss_scale=scale) is made


def test_what_watch_does_not_understand_is_left_out(
    open_run: OpenRun, warnings_logged: Callable[[], list[str]]
) -> None:
    run = open_run()
    options: dict[str, Any] = {"autopilot": 7, "save": "here", "scaler": 3, "save_every": 0}
    Job(run, {**options, "scheduler": None, "truncate": None, "speed": 9}).train(1)
    assert warnings_logged() == [
        "gradwatch: watch() did not understand: autopilot, save, scaler, save_every, speed"
    ]


def test_when_the_watching_ends_the_job_gets_its_rate_back(
    open_run: OpenRun, service: MemoryService
) -> None:
    run = open_run()
    say(run, service, advice("scale_lr"))
    job = Job(run, {"autopilot": 2})
    job.train(2)
    assert job.optimizer._optimizer_step_pre_hooks
    job.model[0].weight.data = torch.zeros(2, 2)  # as no optimizer would
    job.monitor.step()
    assert not job.optimizer._optimizer_step_pre_hooks
    assert job.monitor.applied == ()
