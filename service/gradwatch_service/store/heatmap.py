"""A statistic over layers and steps in as few cells as wanted, each with its extremes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from gradwatch_service.domain import (
    MAX_STEP,
    Float32Array,
    IntArray,
    LayerTable,
    is_missing,
)
from gradwatch_service.store import chunks, layers, levels, packing, tiles
from gradwatch_service.store.canvas import ABOVE, BELOW, NAN, Canvas, Heatmap, Values
from gradwatch_service.store.groups import Group
from gradwatch_service.store.row_groups import LAYER, Part
from gradwatch_service.store.spans import Span, Window, spans


@dataclass(frozen=True, slots=True)
class HeatQuery:
    """A per-layer statistic over steps ``first`` … ``last``, in so many cells at most."""

    metric: str
    first: int = 0
    last: int = MAX_STEP
    rows: int = 500
    cols: int = 500


def heatmap(connection: Connection, run_id: uuid.UUID, query: HeatQuery) -> Heatmap:
    """All writers' effective reports, by the layers of the run's current table.

    There is a column for each step that was reported, or if these are too many, columns of equally
    many steps. What a coarser level stands for counts in the column in which it begins.
    """
    table = layers.current(connection, run_id)
    part = Part(LAYER, query.metric)
    found = spans(connection, run_id, Window(query.first, query.last, query.cols))
    edges, last_step = _columns([steps for span in found for steps in _steps(span)], query.cols)
    order = np.argsort(table.depth, kind="stable")
    rows = min(query.rows, len(table))
    row_of = np.empty(len(table), np.int64)
    row_of[order] = np.arange(len(table)) * rows // max(len(table), 1)
    canvas = Canvas.of(rows, edges)
    places = _Places(connection, run_id, table, row_of)
    for span in found:
        for one in _values(connection, run_id, part, span):
            canvas.paint(one, (span.first, span.last), places.of(one.layers_hash))
    return canvas.picture(_named(table, order, row_of, rows), last_step)


@dataclass(frozen=True, slots=True)
class _Places:
    """The row of each column of a layer table; -1 where the current one does not have the layer."""

    connection: Connection
    run_id: uuid.UUID
    current: LayerTable
    row_of: IntArray

    def of(self, table_hash: str) -> IntArray:
        """Row of each column, int64[L]."""
        if table_hash == self.current.hash:
            return self.row_of
        table = layers.read(self.connection, self.run_id, table_hash)
        columns = [self.current.column.get(name, -1) for name in table.names]
        return np.where(np.array(columns) >= 0, self.row_of[columns], -1)


def _steps(span: Span) -> Iterator[IntArray]:
    """The steps that a writer reported, of each frame and group."""
    found = [packing.read_steps(packing.read_fields(row.body)) for row in span.frames]
    for steps in [*found, *(group.step_list() for group in span.groups)]:
        yield steps[(steps >= span.first) & (steps <= span.last)]


def _values(connection: Connection, run_id: uuid.UUID, part: Part, span: Span) -> Iterator[Values]:
    for table_hash, alike in groupby(span.frames, key=lambda row: row.layers_hash):
        found = [packing.read_block(row.body, "layers", part.metric) for row in alike]
        held = [one for one in found if one is not None]
        if held:
            values = np.concatenate([values for _, values in held]).T
            yield _raw(table_hash, np.concatenate([steps for steps, _ in held]), values)
    for groups in span.runs():
        known: Mapping[int, Group] = {group.seq: group for group in groups}
        rows = chunks.bodies(connection, run_id, part, groups)
        for seq, tiles_of_group in groupby(rows, key=lambda row: row.seq):
            yield _tiled([row.body for row in tiles_of_group], known[seq], part)


def _tiled(bodies: Sequence[bytes], group: Group, part: Part) -> Values:
    if group.level:
        return _coarse(bodies, group, part)
    values = np.concatenate([tiles.decode(body, part.dtype, group.rows) for body in bodies])
    return _raw(group.layers_hash, group.step_list(), values)


def _raw(layers_hash: str, steps: IntArray, values: Float32Array) -> Values:
    finite = np.isfinite(values)
    if finite.all():
        return Values(layers_hash, steps, values, values, None)
    kinds = NAN * (np.isnan(values) & ~is_missing(values)).astype(np.uint8)
    kinds |= ABOVE * np.isposinf(values).astype(np.uint8)
    kinds |= BELOW * np.isneginf(values).astype(np.uint8)
    low = np.where(finite, values, np.float32(np.inf))
    high = np.where(finite, values, np.float32(-np.inf))
    return Values(layers_hash, steps, low, high, kinds)


def _coarse(bodies: Sequence[bytes], group: Group, part: Part) -> Values:
    found = [levels.columns(body, group, part) for body in bodies]

    def across(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(one, name).T for one in found])

    there = across("low_at") > 0
    low = np.where(there, across("low"), np.float32(np.inf))
    high = np.where(there, across("high"), np.float32(-np.inf))
    kinds = NAN * (across("nan_at") > 0).astype(np.uint8)
    kinds |= ABOVE * (across("above_at") > 0).astype(np.uint8)
    kinds |= BELOW * (across("below_at") > 0).astype(np.uint8)
    return Values(group.layers_hash, group.step_list(), low, high, kinds)


def _columns(reported: Sequence[IntArray], most: int) -> tuple[IntArray, int]:
    """Where each column begins, and where the last ends."""
    steps = np.unique(np.concatenate([np.empty(0, np.int64), *reported]))
    if not len(steps):
        return steps, 0
    first, last = int(steps[0]), int(steps[-1])
    if len(steps) <= most:
        return steps, last
    wide = last - first + 1
    return first + np.array([wide * i // most for i in range(most)], np.int64), last


def _named(
    table: LayerTable, order: IntArray, row_of: IntArray, rows: int
) -> Sequence[Sequence[str]]:
    """The names of the layers in each row."""
    named: list[list[str]] = [[] for _ in range(rows)]
    for column in order.tolist():
        named[row_of[column]].append(table.names[column])
    return named
