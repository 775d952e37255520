"""Runs that were, and are to be judged again: which, and what their streams hold."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.errors import NotFound
from gradwatch_service.store import frames, layers
from gradwatch_service.store.tables import runs, writers


class PastRun(NamedTuple):
    """A run; ``started_at`` tells it from a deleted namesake."""

    run_id: uuid.UUID
    name: str
    started_at: dt.datetime
    attempt: int


class PastStream(NamedTuple):
    """What a writer reported: ``reports`` in all, ``version`` says whether there is more by now."""

    writer: str
    attempt: int
    version: int
    next_seq: int
    reports: int
    layers_hash: str
    first_step: int | None


_COLUMNS = [runs.c[name] for name in PastRun._fields]
_STREAM = [writers.c[name] for name in PastStream._fields]


def newest(connection: Connection, project: str, count: int) -> list[PastRun]:
    """The newest runs of a project, the newest first."""
    query = select(*_COLUMNS).where(runs.c.project == project)
    query = query.order_by(runs.c.started_at.desc(), runs.c.run_id.desc()).limit(count)
    return [PastRun(*row) for row in connection.execute(query)]


def named(connection: Connection, project: str, run_ids: Sequence[uuid.UUID]) -> list[PastRun]:
    """These runs of a project, in this order.

    Raises:
        NotFound: one of them is none of the project's.
    """
    query = select(*_COLUMNS).where(runs.c.project == project, runs.c.run_id.in_(run_ids))
    found = {row.run_id: PastRun(*row) for row in connection.execute(query)}
    if len(found) < len(set(run_ids)):
        raise NotFound("one of these runs is not in this project")
    return [found[run_id] for run_id in dict.fromkeys(run_ids)]


def streams(connection: Connection, run_id: uuid.UUID) -> list[PastStream]:
    """The streams of a run, by name."""
    query = select(*_STREAM).where(writers.c.run_id == run_id)
    return sorted(PastStream(*row) for row in connection.execute(query))


def log(
    connection: Connection, run_id: uuid.UUID, stream: PastStream
) -> Iterator[tuple[Frame, LayerTable]]:
    """A stream in the order of its fold, each frame with its columns.

    Raises:
        Conflict: it is no longer kept as it came.
    """
    tables = {"": LayerTable()}
    table = _table(connection, run_id, stream.layers_hash, tables)
    for logged in frames.folded(connection, run_id, stream.writer, range(stream.next_seq)):
        if logged.frame.layers_hash:
            table = _table(connection, run_id, logged.frame.layers_hash, tables)
        yield logged.frame, table


def first_table(connection: Connection, run_id: uuid.UUID, stream: PastStream) -> LayerTable:
    """The layer table that a stream began with."""
    return _table(connection, run_id, stream.layers_hash, {"": LayerTable()})


def _table(
    connection: Connection, run_id: uuid.UUID, its_hash: str, known: dict[str, LayerTable]
) -> LayerTable:
    if its_hash not in known:
        known[its_hash] = layers.find(connection, run_id, its_hash) or LayerTable()
    return known[its_hash]
