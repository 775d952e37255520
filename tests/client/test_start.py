from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gradwatch
from gradwatch import process
from gradwatch.launch import Launch, read_launch
from gradwatch.layers import LayerTable
from gradwatch.off import OffMonitor, OffRun
from gradwatch.run import Run

ID = "01935b2e-7a4c-7000-8000-00000000000a"

Warnings = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("URL", "API_KEY", "MODE", "ALLOW_HTTP"):
        monkeypatch.delenv(f"GRADWATCH_{name}", raising=False)
    before = set(process._living)
    yield
    for run in set(process._living) - before:
        process.release(run)


def test_a_run_starts_without_a_server(warnings_logged: Warnings) -> None:
    run = gradwatch.init(project="lm", url="http://127.0.0.1:9")
    assert isinstance(run, Run)
    assert uuid.UUID(run.id).version == 7
    assert run.guard == gradwatch.Guard()
    assert run.counts == gradwatch.Counts()
    assert warnings_logged() == []


def test_everything_given_is_passed_on() -> None:
    given = {
        "id": uuid.UUID(ID),
        "name": "small",
        "config": {"lr": 0.1, "betas": (0.9, 0.95)},
        "tags": ["a", "b"],
        "launch_id": "job-7",
        "resume_step": 40,
    }
    launch, malformed = read_launch("lm", given)
    assert malformed == []
    assert launch.body(LayerTable()) == {
        "id": ID,
        "project": "lm",
        "name": "small",
        "config": {"lr": 0.1, "betas": [0.9, 0.95]},
        "tags": ["a", "b"],
        "launch_id": "job-7",
        "resume_step": 40,
    }


def test_what_is_left_out_gets_a_value_of_its_own() -> None:
    first, second = read_launch("lm", {})[0], read_launch("lm", {"name": None})[0]
    assert first.run_id != second.run_id
    assert first.launch_id != second.launch_id
    assert first == Launch(first.run_id, "lm", first.launch_id)


def test_a_run_continues_from_the_step_it_resumes_at() -> None:
    run = gradwatch.init("lm", resume_step=40)
    assert isinstance(run, Run)
    assert run._next_step == 40


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"id": "seven"}, "id"),
        ({"name": 7}, "name"),
        ({"config": "lr=1"}, "config"),
        ({"config": {"x": "y" * 4000, **{str(i): "y" * 4000 for i in range(300)}}}, "config"),
        ({"tags": ["a", 1]}, "tags"),
        ({"tags": [str(i) for i in range(101)]}, "tags"),
        ({"launch_id": ""}, "launch_id"),
        ({"resume_step": -1}, "resume_step"),
        ({"resume_step": 1.5}, "resume_step"),
        ({"layers": [{"kind": "linear"}]}, "layers"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_malformed_is_left_out_and_named(
    given: Any, named: str, warnings_logged: Warnings
) -> None:
    assert isinstance(gradwatch.init("lm", **given), Run)
    assert warnings_logged() == [f"gradwatch: init() did not understand and left out: {named}"]


@pytest.mark.parametrize(
    ("project", "options", "reason"),
    [
        ("", {}, "init() needs a project name"),
        (None, {}, "init() needs a project name"),
        ("lm", {"mode": "of"}, "GRADWATCH_MODE is 'of'"),
        ("lm", {"url": "http://10.0.0.1"}, "unencrypted to 10.0.0.1"),
        ("lm", {"url": "nowhere"}, "GRADWATCH_URL is not an address"),
    ],
)
def test_an_unusable_setting_switches_reporting_off_and_says_why(
    project: Any, options: Any, reason: str, warnings_logged: Warnings
) -> None:
    assert isinstance(gradwatch.init(project, **options), OffRun)
    (warning,) = warnings_logged()
    assert warning.startswith("gradwatch: reporting is off: ")
    assert reason in warning


def test_disabled_is_quiet(monkeypatch: pytest.MonkeyPatch, warnings_logged: Warnings) -> None:
    monkeypatch.setenv("GRADWATCH_MODE", "disabled")
    assert isinstance(gradwatch.init("lm"), OffRun)
    assert warnings_logged() == []


def test_off_takes_every_call_and_does_nothing() -> None:
    with OffRun() as run:
        run.log(1, loss=2.0, layers={"a": {"grad_norm": 1.0}}, profiles={"time": [1]})
        run.event("note", step=1, text="x")
        monitor = run.watch(object(), object())
        assert monitor.step(loss=1.0, seq_len=3)
        assert run.decide(float("nan")) == gradwatch.Decision(clip=1.0, skip=False)
        assert run.flush()
    run.finish("failed", "why")
    assert (run.id, run.advice, run.alerts) == ("", [], [])
    assert (run.counts, run.guard) == (gradwatch.Counts(), gradwatch.Guard())


FOR_INTEGRATIONS = {
    "add_layers",
    "add_config",
    "add_watcher",
    "drop_watcher",
    "log_measured",
    "news",
    "note_decision",
    "note_malformed",
    "note_order",
    "warn",
}
FOR_THE_PROCESS = {"begin_finish", "await_finish", "rebuild_after_fork"}


def test_off_has_the_same_interface() -> None:
    shared = {name for name in dir(Run) if not name.startswith("_")}
    shared -= FOR_INTEGRATIONS | FOR_THE_PROCESS
    assert {name for name in dir(OffRun) if not name.startswith("_")} == shared
    for name in shared:
        ours = getattr(Run, name)
        if callable(ours):
            mine = list(inspect.signature(getattr(OffRun, name)).parameters)
            assert mine == list(inspect.signature(ours).parameters), name
    step = inspect.signature(gradwatch.Monitor.step).parameters
    assert list(inspect.signature(OffMonitor.step).parameters) == list(step)
