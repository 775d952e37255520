"""What is kept for how long: reports, then coarser levels, then nothing but the alerts."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.errors import Conflict
from gradwatch_service.store import tables
from gradwatch_service.store.runs import delete_run
from gradwatch_service.store.series import SeriesQuery, curve
from gradwatch_service.worker import compact, prune, tick
from tests.service.ingest.rig import NOW, answer, create_run, frame_push, rows, serving
from tests.service.ingest.training import cut, exploding
from tests.service.store import tiled

REPORTS = 1_300
DAYS = {"retention_raw_days": 10, "retention_downsampled_days": 30}


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    """A run that explodes, all in tiles."""
    run_id = create_run(engine)
    with serving(engine) as writer:
        for push in cut(run_id, exploding(1, REPORTS), range(100, REPORTS, 100), "w0"):
            answer(writer, push)
    tiled.compact_all(engine, run_id)
    return run_id


def prune_after(engine: Engine, days: int, **settings: object) -> int:
    with serving(engine) as writer:
        return prune(tiled.backend(engine, writer, NOW + dt.timedelta(days=days), **settings))


def held(engine: Engine, run_id: uuid.UUID) -> list[int]:
    with engine.connect() as connection:
        return sorted(row.level for row in connection.execute(tiled.groups_of(run_id)))


def test_without_a_number_all_is_kept_for_ever(engine: Engine, run_id: uuid.UUID) -> None:
    assert prune_after(engine, 10_000) == 0
    assert held(engine, run_id) == [0, 0, 0]


def test_reports_become_coarse_and_then_are_gone_while_alerts_stay(
    engine: Engine, run_id: uuid.UUID
) -> None:
    query = SeriesQuery("grad_norm", "a")
    with engine.connect() as connection:
        whole = curve(connection, run_id, query)
    alerts = rows(engine, tables.alerts, run_id, "cause", "state")
    assert alerts
    assert prune_after(engine, 9, **DAYS) == 0
    assert prune_after(engine, 11, **DAYS) == 2
    assert held(engine, run_id) == [1]
    with engine.connect() as connection:
        thin = curve(connection, run_id, query)
    assert thin.total == whole.total
    assert 0 < len(thin.steps) < 0.1 * len(whole.steps)
    assert np.nanmax(thin.values) == np.nanmax(whole.values)
    assert np.isnan(thin.values).any()
    assert prune_after(engine, 29, **DAYS) == 0
    assert prune_after(engine, 31, **DAYS) == 1
    assert held(engine, run_id) == []
    assert tiled.count(engine, tables.chunks) == 0
    assert rows(engine, tables.alerts, run_id, "cause", "state") == alerts


def test_a_project_may_have_days_of_its_own(engine: Engine, run_id: uuid.UUID) -> None:
    own = {"retention_projects": {"p": {"raw_days": 100}}}
    assert prune_after(engine, 50, **DAYS, **own) == 0
    assert prune_after(engine, 101, **own) == 2
    assert held(engine, run_id) == [1]


def test_everything_at_once_where_only_the_end_is_set(engine: Engine, run_id: uuid.UUID) -> None:
    assert prune_after(engine, 31, retention_downsampled_days=30) == 1
    assert held(engine, run_id) == []


def test_a_writer_whose_reports_are_gone_cannot_go_on_but_a_new_launch_can(
    engine: Engine, run_id: uuid.UUID
) -> None:
    prune_after(engine, 11, **DAYS)
    pushes = cut(run_id, exploding(1, REPORTS + 100), [*range(100, REPORTS + 1, 100)], "w0")
    with serving(engine) as writer:
        with pytest.raises(Conflict, match="open a new launch") as caught:
            answer(writer, pushes[-1])
        assert caught.value.code == "no-longer-kept"
        create_run(engine, id=run_id, launch_id="again", resume_step=REPORTS)
        fresh = exploding(2, 50)
        assert answer(writer, frame_push(run_id, 0, fresh, "w1")).accepted == 50


def test_a_deleted_run_takes_its_tiles_along(engine: Engine, run_id: uuid.UUID) -> None:
    other = create_run(engine)
    with serving(engine) as writer:
        for push in cut(other, exploding(2, 600), [], "w0"):
            answer(writer, push)
        compact(tiled.backend(engine, writer))
        writer.run(lambda connection: delete_run(connection, run_id)).result(60)
    for table in (tables.tilings, tables.row_groups, tables.chunks):
        with engine.connect() as connection:
            assert set(connection.execute(sa.select(table.c.run_id)).scalars()) == {other}


def test_a_tick_does_it_all(engine: Engine, run_id: uuid.UUID) -> None:
    other = create_run(engine)
    with serving(engine) as writer:
        for push in cut(other, exploding(2, 600), [], "w0"):
            answer(writer, push)
        tick(tiled.backend(engine, writer, NOW + dt.timedelta(days=11), **DAYS))
    assert held(engine, run_id) == [1]
    assert held(engine, other) == [1]
