"""Writers of a run: how far each is stored and judged, moved on by compare-and-swap; its guard."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Text, bindparam, insert, select, update

from gradwatch_service.domain import Guard
from gradwatch_service.store import codec
from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.tables import runs, writers

_insert = insert(writers)
_advance = Prepared(
    update(writers)
    .where(
        writers.c.run_id == bindparam("run"),
        writers.c.writer == bindparam("stream"),
        writers.c.version == bindparam("seen"),
    )
    .values(
        {
            name: bindparam(name)
            for name in (
                "version",
                "next_seq",
                "lost",
                "ordinal",
                "reports",
                "transitions",
                "first_step",
                "last_step",
            )
        }
        | {"guard": bindparam("guard", type_=Text)}
    )
)


def find(connection: Connection, run_id: uuid.UUID, writer: str) -> RowMapping | None:
    """The row of a writer, None before its first frame."""
    query = select(writers).where(writers.c.run_id == run_id, writers.c.writer == writer)
    return connection.execute(query).mappings().first()


def add(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert writers at their first contact; an IntegrityError means another was first."""
    if rows:
        connection.execute(_insert, rows)


def advance(connection: Connection, rows: Sequence[Mapping[str, object]]) -> bool:
    """Move writers on, each from the version its row names as ``seen``; False if one had moved."""
    if not rows:
        return True
    return _advance.execute(connection, rows).rowcount == len(rows)


def ranks(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[int, frozenset[str]]]:
    """Run -> attempt -> the writers that have reported steps."""
    query = select(writers.c.run_id, writers.c.attempt, writers.c.writer).where(
        writers.c.run_id.in_(run_ids), writers.c.first_step.is_not(None)
    )
    found: dict[uuid.UUID, dict[int, frozenset[str]]] = {}
    for row in connection.execute(query):
        of_run = found.setdefault(row.run_id, {})
        of_run[row.attempt] = of_run.get(row.attempt, frozenset()) | {row.writer}
    return found


def positions(connection: Connection, run_id: uuid.UUID, attempt: int) -> dict[str, int]:
    """How far each writer of an attempt has reported without a gap: below this seq."""
    query = select(writers.c.writer, writers.c.next_seq).where(
        writers.c.run_id == run_id,
        writers.c.attempt == attempt,
        writers.c.first_step.is_not(None),
    )
    return {row.writer: row.next_seq for row in connection.execute(query)}


def unjudged(connection: Connection, run_id: uuid.UUID) -> list[str]:
    """The writers of a run with reports that are stored but not judged."""
    query = select(writers.c.writer).where(
        writers.c.run_id == run_id, writers.c.ordinal < writers.c.reports
    )
    return sorted(connection.execute(query).scalars())


def runs_unjudged(connection: Connection, since: dt.datetime) -> list[uuid.UUID]:
    """Runs with such reports that nothing has been heard of since then."""
    query = (
        select(writers.c.run_id)
        .distinct()
        .join(runs, runs.c.run_id == writers.c.run_id)
        .where(writers.c.ordinal < writers.c.reports, runs.c.last_seen_at < since)
    )
    return list(connection.execute(query).scalars())


@lru_cache(maxsize=4_096)
def guard_text(guard: Guard) -> str:
    """A guard as ``advance`` takes it: most are the same as before."""
    return codec.encode(guard.as_json())


def guard(connection: Connection, run_id: uuid.UUID) -> Guard:
    """The guard of a run: of the newest attempt, the furthest writer, then the first by name."""
    query = (
        select(writers.c.guard)
        .where(writers.c.run_id == run_id)
        .where(writers.c.first_step.is_not(None))
        .order_by(writers.c.attempt.desc(), writers.c.last_step.desc(), writers.c.writer)
        .limit(1)
    )
    found = connection.execute(query).scalar()
    return Guard() if found is None else Guard(**cast(dict[str, Any], found))
