"""The part of a run that every group of pushes reads and moves on: its head."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import BigInteger, Connection, bindparam, select, update

from gradwatch_service.store.runs import ALIVE
from gradwatch_service.store.tables import runs


@dataclass(frozen=True, slots=True)
class Head:
    """A run as ingest needs it. ``started_at`` tells it from a deleted namesake."""

    run_id: uuid.UUID
    project: str
    started_at: dt.datetime
    attempt: int
    layers_hash: str
    layers_count: int
    degraded: str | None
    version: int


_COLUMNS = (
    runs.c.run_id,
    runs.c.project,
    runs.c.started_at,
    runs.c.attempt,
    runs.c.layers_hash,
    runs.c.layers_count,
    runs.c.degraded,
    runs.c.version,
)
_heads = select(*_COLUMNS).where(runs.c.run_id.in_(bindparam("run_ids", expanding=True)))
_step = bindparam("step", type_=BigInteger)
_note_pushes = (
    update(runs)
    .where(runs.c.run_id == bindparam("run"))
    .values(
        pushes=runs.c.pushes + bindparam("count"),
        last_step=sa.case(
            (sa.func.coalesce(runs.c.last_step, -1) < _step, _step), else_=runs.c.last_step
        ),
        last_seen_at=bindparam("now"),
        state=ALIVE,
    )
)
_note_verdicts = (
    update(runs)
    .where(runs.c.run_id == bindparam("run"), runs.c.version == bindparam("seen"))
    .values(
        version=runs.c.version + 1,
        health=bindparam("health"),
        open_alerts=bindparam("open_alerts"),
        degraded=bindparam("degraded"),
        layers_hash=bindparam("layers_hash"),
        layers_count=bindparam("layers_count"),
    )
)


def of_runs(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Head]:
    """The heads of those of the runs that exist."""
    rows = connection.execute(_heads, {"run_ids": run_ids})
    return {row.run_id: Head(*row) for row in rows}


def note_pushes(connection: Connection, rows: Sequence[Mapping[str, object]]) -> bool:
    """Count pushes: ``run``, ``count``, ``step`` (-1 for none), ``now``; False if a run is gone."""
    if not rows:
        return True
    return connection.execute(_note_pushes, rows).rowcount == len(rows)


def note_verdicts(connection: Connection, rows: Sequence[Mapping[str, object]]) -> bool:
    """Write what was concluded of runs at version ``seen``; False if one has changed since."""
    if not rows:
        return True
    return connection.execute(_note_verdicts, rows).rowcount == len(rows)
