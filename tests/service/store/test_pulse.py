"""What a look at the database finds, and by which index."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event

from gradwatch_service.store import pulse, runs, tables
from tests.alerting import NOW, new_run, set_alert

LATER = NOW + dt.timedelta(hours=1)


def test_running_runs_and_open_alerts_are_found_and_others_by_their_id(engine: Engine):
    with engine.begin() as connection:
        running, over = new_run(connection), new_run(connection)
        firing = set_alert(connection, running)
        resolved = set_alert(connection, over, state="resolved", cause="loss-spike")
        runs.finish_run(connection, over, "finished", None, NOW)
        lively = {("run", running), ("alert", firing)}
        assert look(connection, []) == lively
        known = [("run", over), ("alert", resolved), ("run", uuid.uuid4())]
        assert look(connection, known) == lively | {("run", over), ("alert", resolved)}


def test_what_began_and_ended_since_the_last_look_is_found(engine: Engine):
    with engine.begin() as connection:
        over = new_run(connection, now=LATER)
        runs.finish_run(connection, over, "finished", None, LATER)
        resolved = set_alert(connection, over, state="resolved", now=LATER)
        assert look(connection, []) == {("run", over), ("alert", resolved)}


def look(connection: Connection, known: list[pulse.Key]) -> set[pulse.Key]:
    return set(pulse.look(connection, LATER, LATER, known).sights)


def test_whatever_changes_is_seen(engine: Engine):
    with engine.begin() as connection:
        run = new_run(connection)
        alert = set_alert(connection, run)
        before = pulse.look(connection, NOW, NOW, [])
        runs.patch_run(connection, run, tags=["new"])
        runs.finish_run(connection, run, "failed", "x", NOW)
        set_alert(connection, run, state="acknowledged")
        after = pulse.look(connection, NOW, NOW, [])
    assert before.sights["run", run].news != after.sights["run", run].news
    assert before.sights["alert", alert].news != after.sights["alert", alert].news


def test_a_look_searches_by_indexes(engine: Engine):
    asked: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, given: object, *_: object) -> None:
        asked.append((statement, given))

    with engine.begin() as connection:
        run = new_run(connection)
        connection.execute(
            sa.update(tables.runs).where(tables.runs.c.run_id == run).values(state="finished")
        )
        event.listen(engine, "before_cursor_execute", note)
        pulse.look(connection, LATER, LATER, [("run", run), ("alert", uuid.uuid4())])
        event.remove(engine, "before_cursor_execute", note)
        assert len(asked) == 5
        if engine.dialect.name == "sqlite":
            plans = [
                str(row[3])
                for statement, given in asked
                for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
            ]
            assert [plan for plan in plans if plan.startswith("SCAN")] == []
