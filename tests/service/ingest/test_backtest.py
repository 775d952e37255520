"""Stored runs judged again: the same as they were judged, as others would be, within limits."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import RuleChanges
from gradwatch_service.errors import NotFound, Unavailable
from gradwatch_service.ingest import reel
from gradwatch_service.ingest.backtest import TOO_LATE, TOO_MANY, Bench, Trial
from gradwatch_service.ingest.backtest_process import Rehearsals
from gradwatch_service.ingest.pushes import Judgement
from tests.service.ingest.rig import DEADLINE, NOW, answer, create_run, frame_push, serving, verdict
from tests.service.ingest.test_ranks import story
from tests.service.ingest.test_rule_settings import SHY, set_rules
from tests.service.ingest.training import REPORTS, cut, exploding
from tests.service.store.tiled import bodies, compact_all

QUIET: RuleChanges = (("gradient-spike", "enabled", False), ("update-step-huge", "enabled", False))


def stored(engine: Engine, seed: int = 1, **request: Any) -> uuid.UUID:
    """An exploding run, all of it judged."""
    run_id = create_run(engine, **request)
    with serving(engine) as writer:
        for push in cut(run_id, exploding(seed), range(10, REPORTS, 10), "w0"):
            answer(writer, push)
        writer.submit(Judgement(run_id)).result(DEADLINE)
    return run_id


def tried(engine: Engine, changes: RuleChanges = (), runs: Any = 20, **limits: Any) -> Any:
    return Bench(engine).run(Trial("p", changes, runs, **limits))


def said(engine: Engine, run_id: uuid.UUID) -> list[tuple[Any, ...]]:
    """The stored alerts of a run, as a back-test shows them."""
    found = verdict(engine, run_id)["alerts"].values()  # type: ignore[attr-defined]
    keys = ("cause", "rule", "severity", "actionable", "opened_step", "resolved_step", "title")
    return sorted(tuple(body[key] for key in keys) for body in found if body["state"] != "pending")


def shown(run: dict[str, Any], which: str) -> list[tuple[Any, ...]]:
    keys = ("cause", "rule", "severity", "actionable", "opened_step", "resolved_step", "title")
    return sorted(tuple(alert[key] for key in keys) for alert in run[which])


def test_the_present_settings_say_what_was_said(engine: Engine) -> None:
    run_id = stored(engine)
    found = tried(engine)
    (run,) = found["runs"]
    assert run["run_id"] == str(run_id)
    assert shown(run, "present") == shown(run, "proposed") == said(engine, run_id) != []
    assert not run["changed"]
    assert (run["steps"], found["totals"]["reports"]) == (REPORTS, REPORTS)
    assert found["totals"]["present"] == found["totals"]["proposed"]
    assert found["totals"]["present"]["pages"] >= 1
    assert found["left_out"] == []


def test_what_is_proposed_is_what_a_run_so_judged_would_say(engine: Engine) -> None:
    stored(engine)
    set_rules(engine, SHY)
    shy = stored(engine)
    set_rules(engine, {})
    changes = tuple((rule, *item) for rule, own in sorted(SHY.items()) for item in own.items())
    for run in tried(engine, changes)["runs"]:
        assert shown(run, "proposed") == said(engine, shy)
        assert run["changed"]


def test_fewer_pages_are_counted_when_rules_are_switched_off(engine: Engine) -> None:
    for seed in (1, 2):
        stored(engine, seed)
    totals = tried(engine, QUIET)["totals"]
    assert totals["runs"] == 2
    assert totals["proposed"]["pages"] <= totals["present"]["pages"]
    assert totals["changed"] == 2
    rate = totals["present"]["pages_per_10k_steps"]
    assert rate == round(totals["present"]["pages"] * 10_000 / (2 * REPORTS), 3)


def test_reports_that_lie_in_tiles_are_judged_as_they_were(engine: Engine) -> None:
    run_id = stored(engine)
    before = tried(engine, QUIET)
    assert compact_all(engine, run_id)
    assert not any(bodies(engine, run_id))
    after = tried(engine, QUIET)
    assert after["totals"] == before["totals"]
    assert shown(after["runs"][0], "proposed") == shown(before["runs"][0], "proposed")


def test_ranks_are_compared_again(engine: Engine) -> None:
    run_id = create_run(engine)
    with serving(engine) as writer:
        for name, frame in story().items():
            answer(writer, frame_push(run_id, 0, frame, name))
    (run,) = tried(engine, (("rank-outlier", "enabled", False),))["runs"]
    assert shown(run, "present") == said(engine, run_id)
    assert "hardware-or-rank" in {alert["cause"] for alert in run["present"]}
    assert "rank-outlier" not in {alert["rule"] for alert in run["proposed"]}


def test_of_each_project_only_its_own_runs_are_judged(engine: Engine) -> None:
    mine, other = stored(engine), stored(engine, project="another")
    assert [run["run_id"] for run in tried(engine)["runs"]] == [str(mine)]
    with pytest.raises(NotFound):
        tried(engine, runs=(mine, other))
    with pytest.raises(NotFound):
        tried(engine, runs=(uuid.uuid4(),))


def test_the_newest_runs_come_first_and_named_ones_in_their_order(engine: Engine) -> None:
    ids = [str(stored(engine, now=reel_time)) for reel_time in _hours(3)]
    assert [run["run_id"] for run in tried(engine, runs=2)["runs"]] == [ids[2], ids[1]]
    wanted = tuple(uuid.UUID(one) for one in (ids[1], ids[0]))
    assert [run["run_id"] for run in tried(engine, runs=wanted)["runs"]] == [ids[1], ids[0]]


def _hours(count: int) -> Iterator[dt.datetime]:
    return (NOW + dt.timedelta(hours=hour) for hour in range(count))


def test_only_alerts_and_steps_of_the_window_count(engine: Engine) -> None:
    stored(engine)
    early = tried(engine, last=49)
    assert early["totals"]["steps"] == 50
    assert early["runs"][0]["present"] == []
    late = tried(engine, first=100)
    assert late["totals"]["steps"] == REPORTS - 100
    assert late["runs"][0]["present"] != []


def test_what_the_limits_leave_no_room_for_is_named(engine: Engine) -> None:
    first, second = stored(engine), stored(engine)
    found = tried(engine, reports=REPORTS + 1)
    assert len(found["runs"]) == 1
    (left,) = found["left_out"]
    assert left["why"] == TOO_MANY
    assert {left["run_id"], found["runs"][0]["run_id"]} == {str(first), str(second)}


def test_when_time_is_over_what_was_done_is_answered(engine: Engine) -> None:
    stored(engine), stored(engine)
    ticks = itertools.count()
    whole = Bench(engine, clock=lambda: float(next(ticks)))
    whole.run(Trial("p", (), 1, seconds=1e9))
    of_one_run = next(ticks)
    again = itertools.count()
    bench = Bench(engine, clock=lambda: float(next(again)))
    found = bench.run(Trial("p", (), 20, seconds=of_one_run + 2))
    assert len(found["runs"]) == 1
    assert [left["why"] for left in found["left_out"]] == [TOO_LATE]


def test_what_settings_have_in_common_is_judged_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(engine)
    made: list[str] = []
    real = reel.track
    monkeypatch.setattr(
        reel, "track", lambda tape, rule, pace: made.append(rule.id) or real(tape, rule, pace)
    )
    bench = Bench(engine)
    for threshold in (6.5, 7.0, 6.5):
        bench.run(Trial("p", (("gradient-spike", "threshold", threshold),), 20))
    assert made.count("gradient-spike") == 3  # the present one and two others
    assert all(made.count(rule) == 1 for rule in set(made) - {"gradient-spike"})


def test_a_run_that_has_grown_is_read_anew(engine: Engine) -> None:
    run_id, bench = create_run(engine), Bench(engine)
    counts = []
    for seq in range(2):
        with serving(engine) as writer:
            pushes = cut(run_id, exploding(1), [60], "w0")
            answer(writer, pushes[seq])
            writer.submit(Judgement(run_id)).result(DEADLINE)
        counts.append(bench.run(Trial("p", (), 20))["totals"]["reports"])
    assert counts == [60, REPORTS]


def test_a_process_of_its_own_answers_the_same_and_ends(engine: Engine, database_url: str) -> None:
    stored(engine)
    rehearsals = Rehearsals(database_url)
    try:
        assert rehearsals.run(Trial("p", QUIET, 20)) == tried(engine, QUIET)
        with pytest.raises(NotFound):
            rehearsals.run(Trial("p", (), (uuid.uuid4(),)))
        child = rehearsals._child
        assert child is not None
        os.kill(child.process.pid, signal.SIGKILL)
        child.process.wait(DEADLINE)
        assert rehearsals.run(Trial("p", (), 20))["totals"]["runs"] == 1
    finally:
        rehearsals.close()
    with pytest.raises(Unavailable):
        rehearsals.run(Trial("p", (), 20))
