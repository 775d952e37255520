"""Reports put into tiles by a real worker's step, and what the database then holds."""

from __future__ import annotations

import datetime as dt
import uuid

import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.api.backend import Backend
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import tables
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.runs import finish_run
from gradwatch_service.worker import compact
from tests.service.ingest.rig import NOW, serving


def backend(engine: Engine, writer: Writer, now: dt.datetime = NOW, **settings: object) -> Backend:
    ballast = Ballast(engine, 0)
    return Backend(engine, writer, Settings.model_validate(settings), lambda: now, ballast)


def finish(writer: Writer, run_id: uuid.UUID) -> None:
    """End a run, so that its last reports are judged and put into tiles, too."""
    writer.judge(run_id).result(60)
    command = lambda connection: finish_run(connection, run_id, "finished", None, NOW)  # noqa: E731
    writer.run(command).result(60)


def compact_all(engine: Engine, *run_ids: uuid.UUID) -> int:
    """End these runs, and put everything that is due into tiles; returns how many groups."""
    with serving(engine) as writer:
        for run_id in run_ids:
            finish(writer, run_id)
        return compact(backend(engine, writer))


def count(engine: Engine, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    with engine.connect() as connection:
        query = sa.select(sa.func.count()).select_from(table).where(*where)
        return int(connection.execute(query).scalar_one())


def bodies(engine: Engine, run_id: uuid.UUID) -> list[int]:
    """How many bytes each frame of a run still has in the log."""
    query = sa.select(tables.frames.c.body).where(tables.frames.c.run_id == run_id)
    with engine.connect() as connection:
        return [len(body) for body in connection.execute(query).scalars()]


def groups_of(run_id: uuid.UUID) -> sa.Select[int, int]:
    """Level and first seq of each group of a run's own reports."""
    groups = tables.row_groups
    own = groups.c.writer.not_like("service/%")
    return sa.select(groups.c.level, groups.c.seq).where(groups.c.run_id == run_id, own)
