"""One series of a run, read from the log of frames: effective points of all writers."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Select, func, select

from gradwatch_service.domain import MAX_STEP, FloatArray, IntArray, is_missing
from gradwatch_service.store import layers, packing
from gradwatch_service.store.tables import attempts, frames, writers


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """A scalar (``layer`` None) or one layer's statistic, over steps ``first`` … ``last``."""

    metric: str
    layer: str | None = None
    first: int = 0
    last: int = MAX_STEP


def series(
    connection: Connection, run_id: uuid.UUID, query: SeriesQuery
) -> tuple[IntArray, FloatArray]:
    """Steps and values, in step order; at an equal step the writer that sorts first comes first.

    Points a later attempt has gone over again are left out, and so is what was not measured.
    """
    steps, values = _read(connection, run_id, query)
    order = np.argsort(steps, kind="stable")
    return steps[order], values[order]


def effective_until(connection: Connection, run_id: uuid.UUID) -> Mapping[int, int]:
    """Attempt -> the first step that a later attempt goes over again.

    An attempt that did not say where it resumed does so at its first reported step.
    """
    first_steps = dict(
        connection.execute(
            select(writers.c.attempt, func.min(writers.c.first_step))
            .where(writers.c.run_id == run_id)
            .group_by(writers.c.attempt)
        ).all()
    )
    rows = connection.execute(
        select(attempts.c.number, attempts.c.resume_step)
        .where(attempts.c.run_id == run_id)
        .order_by(attempts.c.number.desc())
    ).all()
    until: dict[int, int] = {}
    limit = MAX_STEP + 1
    for number, resume_step in rows:
        until[number] = limit
        start = resume_step if resume_step is not None else first_steps.get(number)
        limit = min(limit, limit if start is None else start)
    return until


def _read(
    connection: Connection, run_id: uuid.UUID, query: SeriesQuery
) -> tuple[IntArray, FloatArray]:
    until = effective_until(connection, run_id)
    columns = _columns(connection, run_id, query.layer)
    found = [
        (row.writer, row.seq, *_points(row.body, query, columns[row.layers_hash], limit))
        for row in connection.execute(_overlapping(run_id, query, list(columns)))
        if (limit := min(until[row.attempt], query.last + 1))
    ]
    found.sort(key=lambda part: part[:2])  # by code points, whatever the database's collation
    empty = (np.empty(0, np.int64), np.empty(0, np.float64))
    return (
        np.concatenate([empty[0], *(part[2] for part in found)]),
        np.concatenate([empty[1], *(part[3] for part in found)]),
    )


def _columns(
    connection: Connection, run_id: uuid.UUID, layer: str | None
) -> Mapping[str, int | None]:
    """Hash of each layer table that matters -> the layer's column in it; None for a scalar."""
    tables = layers.all_tables(connection, run_id)
    if layer is None:
        return dict.fromkeys(("", *tables))
    return {key: table.column[layer] for key, table in tables.items() if layer in table.column}


def _overlapping(
    run_id: uuid.UUID, query: SeriesQuery, hashes: list[str]
) -> Select[tuple[str, int, int, str, bytes]]:
    return (
        select(frames.c.writer, frames.c.seq, frames.c.attempt, frames.c.layers_hash, frames.c.body)
        .where(
            frames.c.run_id == run_id,
            frames.c.step_max >= query.first,
            frames.c.step_min <= query.last,
            frames.c.layers_hash.in_(hashes),
        )
        .execution_options(yield_per=64)
    )


def _points(
    body: bytes, query: SeriesQuery, column: int | None, limit: int
) -> tuple[IntArray, FloatArray]:
    steps, values = packing.read_series(body, query.metric, column)
    keep = (steps >= query.first) & (steps < limit) & ~is_missing(values)
    return steps[keep], values[keep]
