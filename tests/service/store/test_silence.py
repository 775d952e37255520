"""Runs that fall silent are marked stale, by their own pace, and revive with a sign of life."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.store import runs
from gradwatch_service.store.silence import mark_stale, patience
from gradwatch_service.store.tables import runs as table
from tests.service.ingest.rig import NOW, answer, create_run, serving, simple_push


@pytest.mark.parametrize(
    ("pushes", "seconds_active", "seconds"),
    [
        (0, 0, 1800),
        (4, 1, 1800),
        (5, 1, 30),
        (5, 50, 200),
        (100, 100, 30),
        (100, 1000, 200),
    ],
)
def test_patience_follows_the_pace_of_the_run(
    pushes: int, seconds_active: float, seconds: float
) -> None:
    patient = patience(pushes, dt.timedelta(seconds=seconds_active))
    assert patient == dt.timedelta(seconds=seconds)


def push_at_pace(engine: Engine, run_id: uuid.UUID, seconds: float) -> None:
    """Ten pushes, so many seconds apart, the last of them at NOW."""
    with serving(engine) as writer:
        for seq in range(10):
            answer(writer, simple_push(run_id, seq))
    began = NOW - dt.timedelta(seconds=10 * seconds)
    with engine.begin() as connection:
        query = sa.update(table).where(table.c.run_id == run_id)
        connection.execute(query.values(active_since=began))


def sweep(engine: Engine, seconds_later: float) -> tuple[uuid.UUID, ...]:
    with engine.begin() as connection:
        return mark_stale(connection, NOW + dt.timedelta(seconds=seconds_later))


def test_a_silent_run_is_marked_once_and_a_slow_one_is_not(engine: Engine) -> None:
    quick, slow, fresh = (create_run(engine) for _ in range(3))
    push_at_pace(engine, quick, 1)
    push_at_pace(engine, slow, 60)
    assert sweep(engine, 29) == ()
    assert sweep(engine, 31) == (quick,)
    assert sweep(engine, 32) == ()
    assert set(sweep(engine, 1801)) == {slow, fresh}


def test_a_push_revives_a_stale_run_but_not_a_finished_one(engine: Engine) -> None:
    stale, finished = create_run(engine), create_run(engine)
    push_at_pace(engine, stale, 1)
    with engine.begin() as connection:
        runs.finish_run(connection, finished, "finished", None, NOW)
    assert sweep(engine, 3600) == (stale,)
    with serving(engine) as writer:
        answer(writer, simple_push(stale, 10))
        answer(writer, simple_push(finished, 0))
    with engine.connect() as connection:
        states = [runs.get_run(connection, one)["state"] for one in (stale, finished)]
    assert states == ["running", "finished"]


def test_a_new_launch_is_paced_anew(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="first")
    push_at_pace(engine, run_id, 1)
    create_run(engine, id=run_id, launch_id="second")
    assert sweep(engine, 1799) == ()
    assert sweep(engine, 1801) == (run_id,)
