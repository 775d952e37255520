"""A second launch: its own writers and points; what the first one's alerts said is over."""

from __future__ import annotations

import math
import uuid
from typing import Any

from sqlalchemy import Engine

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.domain import Facts, Guard, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.store import alerts, parts, runs, tables, writers
from gradwatch_service.store.series import SeriesQuery, series
from tests.service.ingest.rig import (
    answer,
    create_run,
    frame_push,
    make_frame,
    rows,
    serving,
    simple_push,
)


def run_of(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        return dict(runs.get_run(connection, run_id))


def test_a_stream_begins_with_what_its_launch_says(engine: Engine) -> None:
    begun: list[Facts] = []

    def init(table: LayerTable, facts: Facts) -> WriterState:
        begun.append(facts)
        return fold.init(table, facts)

    run_id = create_run(engine, launch_id="first", config={"optimizer": "SGD"})
    with serving(engine, fold=Fold(init=init)) as writer:
        answer(writer, simple_push(run_id, 0, "first"))
        create_run(engine, id=run_id, launch_id="second", resume_step=1)
        answer(writer, simple_push(run_id, 0, "second"))
    with serving(engine, fold=Fold(init=init)) as writer:
        answer(writer, simple_push(run_id, 1, "first"))
    assert [(one.optimizer, one.resumed) for one in begun] == [
        ("sgd", False),
        ("sgd", True),
        ("sgd", False),
    ]


def points(engine: Engine, run_id: uuid.UUID) -> list[tuple[int, float]]:
    with engine.connect() as connection:
        steps, values = series(connection, run_id, SeriesQuery("loss"))
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def guard_of(engine: Engine, run_id: uuid.UUID) -> Guard:
    with engine.connect() as connection:
        return writers.guard(connection, run_id)


def test_the_guard_of_a_run_is_that_of_the_furthest_writer_of_the_newest_attempt(
    engine: Engine,
) -> None:
    run_id = create_run(engine, launch_id="first")
    assert guard_of(engine, run_id) == Guard()
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame(range(50), loss=1.0), "first"))
        create_run(engine, id=run_id, launch_id="second")
        answer(writer, frame_push(run_id, 0, make_frame([1], loss=1.0), "rank0"))
        ahead = answer(writer, frame_push(run_id, 0, make_frame([1, 2], loss=1.0), "rank1"))
    assert guard_of(engine, run_id) == ahead.guard


def test_points_a_later_attempt_goes_over_again_are_left_out(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame(range(10), loss=1.0), "first"))
        create_run(engine, id=run_id, launch_id="second", resume_step=6)
        answer(writer, frame_push(run_id, 0, make_frame(range(6, 9), loss=2.0), "second"))
        answer(writer, frame_push(run_id, 1, make_frame([10, 5], loss=1.0), "first"))
    expected = [(step, 1.0) for step in range(6)] + [(5, 1.0)]
    assert points(engine, run_id) == expected + [(step, 2.0) for step in range(6, 9)]
    written = rows(engine, tables.writers, run_id, "writer", "attempt")
    assert written == [("first", 1), ("second", 2)]


def test_an_attempt_that_does_not_say_where_it_resumed_does_so_at_its_first_step(
    engine: Engine,
) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame([0, 1, 2, 3], loss=1.0), "first"))
        create_run(engine, id=run_id, launch_id="second")
        assert len(points(engine, run_id)) == 4
        answer(writer, frame_push(run_id, 0, make_frame([2], loss=2.0), "second"))
    assert points(engine, run_id) == [(0, 1.0), (1, 1.0), (2, 2.0)]


def test_alerts_of_a_launch_that_is_over_are_resolved_by_the_next_ones_first_push(
    engine: Engine,
) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        answer(writer, simple_push(run_id, 0, "first"))
        alarmed = answer(writer, simple_push(run_id, 1, "first", loss=math.nan))
        assert (alarmed.health, len(alarmed.alerts)) == ("critical", 1)
        assert alarmed.advice
        create_run(engine, id=run_id, launch_id="second", resume_step=0)
        calm = answer(writer, simple_push(run_id, 0, "second"))
    assert (calm.health, calm.advice) == ("ok", ())
    assert [(one["state"], one["resolved_step"]) for one in calm.alerts] == [("resolved", 1)]
    run = run_of(engine, run_id)
    assert (run["health"], run["open_alerts"], run["state"]) == ("ok", 0, "running")
    with engine.connect() as connection:
        kept = parts.of_runs(connection, [run_id])[run_id]
        assert [one.part.state for shares in kept.values() for one in shares.values()] == ["firing"]
        assert (
            len(alerts.list_alerts(connection, alerts.AlertFilters(states=("resolved",))).items)
            == 1
        )


def test_an_alert_of_the_new_launch_stays_open_beside_the_old_part(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        answer(writer, simple_push(run_id, 0, "first", loss=math.nan))
        create_run(engine, id=run_id, launch_id="second", resume_step=0)
        again = answer(writer, simple_push(run_id, 0, "second", loss=math.nan))
        after = answer(writer, simple_push(run_id, 1, "second", loss=math.nan))
    assert [one["state"] for one in again.alerts] == ["firing"]
    assert again.alerts[0]["writers"] == ["first", "second"]
    assert after.health == "critical"
