"""One series of a run: effective points of all writers, from tiles and from the log's live tail."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import numpy as np
from sqlalchemy import Connection

from gradwatch_service.domain import MAX_STEP, FloatArray, IntArray, is_missing
from gradwatch_service.store import chunks, layers, levels, packing, tiles
from gradwatch_service.store.groups import Group
from gradwatch_service.store.row_groups import LAYER, SCALAR, Part
from gradwatch_service.store.spans import Span, Window, spans
from gradwatch_service.store.tiles import WIDTH

# Steps, values, and how many were measured.
Piece: TypeAlias = tuple[IntArray, FloatArray, int]


FEW_WRITERS = 4


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """A scalar (``layer`` None) or one layer's statistic, over steps ``first`` … ``last``.

    ``points``: about so many will do, as long as no extreme is lost; None: all are wanted.
    """

    metric: str
    layer: str | None = None
    first: int = 0
    last: int = MAX_STEP
    points: int | None = None

    @property
    def part(self) -> Part:
        """What is to be read of a row group."""
        return Part(SCALAR if self.layer is None else LAYER, self.metric)


@dataclass(frozen=True, slots=True)
class Curve:
    """Steps and values, in step order; ``total``: how many values were measured."""

    steps: IntArray
    values: FloatArray
    total: int


def series(
    connection: Connection, run_id: uuid.UUID, query: SeriesQuery
) -> tuple[IntArray, FloatArray]:
    """Steps and values, in step order; at an equal step the writer that sorts first comes first.

    Points a later attempt has gone over again are left out, and so is what was not measured.
    """
    found = curve(connection, run_id, query)
    return found.steps, found.values


def curve(connection: Connection, run_id: uuid.UUID, query: SeriesQuery) -> Curve:
    """The same, from coarser levels where these hold points enough."""
    columns = _columns(connection, run_id, query.layer)
    window = Window(query.first, query.last, _enough(query.points))
    return _curve(
        [
            piece
            for span in spans(connection, run_id, window)
            for piece in _pieces(connection, run_id, query.part, span, columns)
        ]
    )


def scalars(
    connection: Connection, run_id: uuid.UUID, metrics: Sequence[str], points: int
) -> dict[str, Curve]:
    """Several scalars over all steps, looked up together, of a few of a job's ranks."""
    window = Window(enough=_enough(points), writers=FEW_WRITERS)
    pieces: dict[str, list[Piece]] = {metric: [] for metric in metrics}
    for span in spans(connection, run_id, window):
        columns = dict.fromkeys((group.layers_hash for group in span.groups), 0)
        for metric in metrics:
            part = Part(SCALAR, metric)
            for alike in span.runs():
                found = _tiled(connection, run_id, part, alike, span, columns)
                pieces[metric] += (piece for _, piece in found)
        loose = packing.read_scalars([row.body for row in span.frames], metrics)
        for metric, (steps, values) in loose.items():
            pieces[metric].append(_cut(steps, values, span))
    return {metric: _curve(found) for metric, found in pieces.items()}


def _enough(points: int | None) -> int | None:
    """How many buckets will do: each has a minimum and a maximum."""
    return None if points is None else max(points // 2, 1)


def _curve(pieces: Sequence[Piece]) -> Curve:
    steps = np.concatenate([np.empty(0, np.int64), *(piece[0] for piece in pieces)])
    values = np.concatenate([np.empty(0, np.float64), *(piece[1] for piece in pieces)])
    order = np.argsort(steps, kind="stable")
    return Curve(steps[order], values[order], sum(piece[2] for piece in pieces))


def _pieces(
    connection: Connection, run_id: uuid.UUID, part: Part, span: Span, columns: Mapping[str, int]
) -> Iterator[Piece]:
    """The points of one writer, in the order of the log."""
    found = [
        (
            row.seq,
            packing.read_series(row.body, part.metric, _place(part, columns[row.layers_hash])),
        )
        for row in span.frames
        if row.layers_hash in columns
    ]
    pieces = [(seq, _cut(steps, values, span)) for seq, (steps, values) in found]
    for alike in span.runs():
        pieces += _tiled(connection, run_id, part, alike, span, columns)
    pieces.sort(key=lambda one: one[0])
    yield from (piece for _, piece in pieces)


def _tiled(
    connection: Connection,
    run_id: uuid.UUID,
    part: Part,
    groups: Sequence[Group],
    span: Span,
    columns: Mapping[str, int],
) -> Iterator[tuple[int, Piece]]:
    """The points of groups of one level, by their seqs."""
    held = [group for group in groups if group.layers_hash in columns]
    for column, alike in groupby(held, key=lambda group: columns[group.layers_hash]):
        known = {group.seq: group for group in alike}
        tile, at = divmod(column, WIDTH)
        for row in chunks.bodies(connection, run_id, part, list(known.values()), tile):
            yield row.seq, _read(row.body, known[row.seq], part, at, span)


def _read(body: bytes, group: Group, part: Part, at: int, span: Span) -> Piece:
    if not group.level:
        (values,) = tiles.decode_columns(body, part.dtype, group.rows, [at])
        return _cut(group.step_list(), values.astype(np.float64), span)
    buckets = levels.column(body, group, part, at)
    steps, values = buckets.points()
    kept, shown, _ = _cut(steps, values.astype(np.float64), span)
    return kept, shown, int(buckets.measured.sum())


def _cut(steps: IntArray, values: FloatArray, span: Span) -> Piece:
    keep = (steps >= span.first) & (steps <= span.last) & ~is_missing(values)
    return steps[keep], values[keep], int(keep.sum())


def _place(part: Part, column: int) -> int | None:
    return None if part.kind == SCALAR else column


def _columns(connection: Connection, run_id: uuid.UUID, layer: str | None) -> Mapping[str, int]:
    """Hash of each layer table that matters -> the layer's column in it; 0 for a scalar."""
    if layer is None:
        return dict.fromkeys(("", *layers.hashes(connection, run_id)), 0)
    tables = layers.all_tables(connection, run_id)
    return {key: table.column[layer] for key, table in tables.items() if layer in table.column}
