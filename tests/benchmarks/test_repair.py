"""The closed loop on live training, with a real server: one bad sample, one healthy run."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers import Server

torch = pytest.importorskip("torch")

from benchmarks.detection.fault import Fault  # noqa: E402
from benchmarks.detection.faults.data import NaNSample  # noqa: E402
from benchmarks.detection.faults.learning_rate import LearningRateJump  # noqa: E402
from benchmarks.detection.task import catalogue  # noqa: E402
from benchmarks.repair import __main__ as command  # noqa: E402
from benchmarks.repair import plan, table  # noqa: E402
from benchmarks.repair.course import Course, Help, Setting, train  # noqa: E402
from benchmarks.repair.story import story  # noqa: E402
from benchmarks.repair.trial import Outcome, Trial, trial  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.sqlite_in_brief]

START, STEPS = 40, 60


def setting(fault: Fault, task: str = "mlp-adam") -> Setting:
    return Setting(catalogue()[task], 7, STEPS, fault, START)


def test_a_run_that_dies_of_one_sample_lives_on_with_the_guard(server: Server) -> None:
    alone = train(setting(NaNSample()))
    helped = train(setting(NaNSample()), Help(server.url, 1))

    assert [math.isnan(loss) for loss in alone.losses] == [step >= START for step in range(STEPS)]
    assert [math.isnan(loss) for loss in helped.losses] == [step == START for step in range(STEPS)]
    assert helped.losses[:START] == alone.losses[:START]
    assert helped.refused == (START,)
    assert not helped.stopped


def test_what_happened_can_be_read_in_order(server: Server) -> None:
    lines = story(train(setting(NaNSample())), train(setting(NaNSample()), Help(server.url, 1)))

    steps = [int(line.split()[0]) for line in lines]
    assert steps == sorted(steps)
    assert lines[0] == f"{START:6d}  --> no update"
    assert any("PAGE firing error since 40: non-finite-input" in line for line in lines)
    assert any("==> skip_step applied" in line for line in lines)


def test_a_healthy_run_is_the_same_run_at_every_level(server: Server) -> None:
    short = plan.Plan("mlp-adam", 7, steps_most=STEPS)

    found = trial(short, server.url, (1, 3))

    assert [one.level for one in found.outcomes] == [3, 1]
    assert not any(one.deeds or one.harmed for one in found.outcomes)
    assert found.healthy


def test_a_job_that_crashes_is_taken_up_at_its_checkpoint(server: Server) -> None:
    crashing = replace(setting(Fault()), task=replace(catalogue()["resumed"], crash=30, back=10))

    alone, helped = train(crashing), train(crashing, Help(server.url, 1))

    assert len(alone.losses) == len(helped.losses) == STEPS
    assert alone.losses[:30] == train(replace(crashing, task=catalogue()["resumed"])).losses[:30]


def test_a_fault_that_does_no_harm_is_nothing_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = replace(plan.find("mlp-adam/learning-rate-jump", 7))
    monkeypatch.setattr(plan.Plan, "setting", setting(LearningRateJump(1.01)))

    found = trial(weak, "http://127.0.0.1:1", (3,))

    assert not found.mendable
    assert [one.level for one in found.outcomes] == [0]


def test_the_plans_leave_out_what_an_action_in_place_cannot_mend() -> None:
    found = plan.plans()

    assert not {"silent", "dead-units", "poisoned-batch", "bad-shard"} & {x.fault for x in found}
    assert {one.seed for one in found}.isdisjoint({*range(1, 60), *range(101, 160)})
    assert {one.name for one in plan.quick_plans()} == set(plan.QUICK)


def test_an_unknown_run_is_answered_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match="mlp-adam/nan-sample"):
        plan.find("nothing", 1)


TRIALS = (
    Trial(
        "a/nan-sample",
        "nan-sample",
        1,
        healthy=False,
        mendable=True,
        outcomes=(
            Outcome(0, survived=False),
            Outcome(2, repaired=True, lost=9, deeds=("scale_lr@50", "scale_lr@120")),
            Outcome(3, lost=200),
        ),
    ),
    Trial("b", "b", 1, healthy=True, mendable=False, outcomes=(Outcome(1, change=0.02),)),
    Trial(
        "c",
        "c",
        1,
        healthy=True,
        mendable=False,
        outcomes=(Outcome(1, change=0.04, harmed=True, deeds=("rollback@9",)),),
    ),
)


def test_the_tables_add_up() -> None:
    found = table.tables(TRIALS)

    (repair,) = found["Repair"]
    assert (repair["alone"], repair["repaired, level 2"], repair["repaired, level 3"]) == (
        "0/1",
        "1/1",
        "0/1",
    )
    assert [row["fate"] for row in found["Not repaired"]] == ["survived"]
    (healthy,) = found["Healthy runs"]
    assert (healthy["harmed"], healthy["destructive actions"], healthy["median"]) == (1, 1, 3.0)
    totals = {row["measure"]: row["value"] for row in found["Totals"]}
    assert totals["repaired, level 2"] == 1.0
    assert totals["destructive actions on healthy runs"] == 1


def test_the_report_is_left_in_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "FOLDER", tmp_path)

    command.write(TRIALS)

    assert (tmp_path / "repair.md").read_text() == capsys.readouterr().out[:-1]
    assert json.loads((tmp_path / "repair.json").read_text())[0]["outcomes"][1]["lost"] == 9


def test_a_course_without_help_says_so() -> None:
    assert train(replace(setting(Fault()), steps=3)) == Course(
        train(replace(setting(Fault()), steps=3)).losses
    )
