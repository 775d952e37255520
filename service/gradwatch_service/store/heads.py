"""The part of a run that every group of pushes reads and moves on: its head."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy import BigInteger, Connection, bindparam, select, update

from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.runs import ALIVE
from gradwatch_service.store.silence import Silence
from gradwatch_service.store.tables import runs
from gradwatch_service.store.types import UtcDateTime, milliseconds


@dataclass(frozen=True, slots=True)
class Head:
    """A run as ingest needs it. ``started_at`` tells it from a deleted namesake.

    What moves with every push does not make it another one.
    """

    run_id: uuid.UUID
    project: str
    started_at: dt.datetime
    attempt: int
    layers_hash: str
    layers_count: int
    degraded: str | None
    version: int
    state: str = field(compare=False)
    last_step: int | None = field(compare=False)
    last_seen_at: dt.datetime = field(compare=False)
    pushes: int = field(compare=False)


_COLUMNS = (
    runs.c.run_id,
    runs.c.project,
    runs.c.started_at,
    runs.c.attempt,
    runs.c.layers_hash,
    runs.c.layers_count,
    runs.c.degraded,
    runs.c.version,
    runs.c.state,
    runs.c.last_step,
    runs.c.last_seen_at,
    runs.c.pushes,
)
_heads = select(*_COLUMNS).where(runs.c.run_id.in_(bindparam("run_ids", expanding=True)))
_step = bindparam("step", type_=BigInteger)
_now = bindparam("now", type_=UtcDateTime)
_pause = milliseconds(runs.c.last_seen_at, _now)
_note_pushes = Prepared(
    update(runs)
    .where(runs.c.run_id == bindparam("run"), runs.c.version == bindparam("seen"))
    .values(
        pushes=runs.c.pushes + bindparam("count"),
        last_step=sa.case(
            (sa.func.coalesce(runs.c.last_step, -1) < _step, _step), else_=runs.c.last_step
        ),
        last_seen_at=_now,
        longest_pause_ms=sa.case(
            (sa.and_(runs.c.pushes > 0, runs.c.longest_pause_ms < _pause), _pause),
            else_=runs.c.longest_pause_ms,
        ),
        state=ALIVE,
    )
)
_note_silences = (
    update(runs)
    .where(
        runs.c.run_id == bindparam("run"),
        runs.c.pushes == bindparam("count"),
        runs.c.last_seen_at == bindparam("since"),
        runs.c.state.in_(("running", "stale")),
    )
    .values(state="stale")
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
    rows = connection.execute(_heads, {"run_ids": run_ids}).mappings()
    return {row["run_id"]: Head(**row) for row in rows}


def note_pushes(connection: Connection, rows: Sequence[Mapping[str, object]]) -> bool:
    """Count pushes: ``run``, ``count``, ``step`` (-1 for none), ``now``, ``seen``.

    False if a run is gone, or has changed since it was at version ``seen``.
    """
    if not rows:
        return True
    return _note_pushes.execute(connection, rows).rowcount == len(rows)


def note_silences(connection: Connection, silences: Sequence[Silence]) -> bool:
    """Mark runs stale; False if one has reported meanwhile."""
    if not silences:
        return True
    rows = [{"run": one.run_id, "count": one.pushes, "since": one.since} for one in silences]
    return connection.execute(_note_silences, rows).rowcount == len(rows)


def pushes(connection: Connection, run_id: uuid.UUID) -> int:
    """How many pushes the newest attempt has had, those of this transaction included."""
    found: int = connection.execute(
        select(runs.c.pushes).where(runs.c.run_id == run_id)
    ).scalar_one()
    return found


def note_verdicts(connection: Connection, rows: Sequence[Mapping[str, object]]) -> bool:
    """Write what was concluded of runs at version ``seen``; False if one has changed since."""
    if not rows:
        return True
    return connection.execute(_note_verdicts, rows).rowcount == len(rows)
