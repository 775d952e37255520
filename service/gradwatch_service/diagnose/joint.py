"""Puts what the ranks of a job reported side by side: one frame whose layers are the ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.detect.columns import per_table
from gradwatch_service.detect.ranks import ALIKE, LOCAL, REPORTED, WEIGHTS, number
from gradwatch_service.detect.scalars import joint_norm
from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    BoolArray,
    Float32Array,
    FloatArray,
    Frame,
    IntArray,
    Layer,
    LayerTable,
    is_missing,
)

_HASH_DIGITS = 15  # of a layer table's hash, as many as an int64 holds


@dataclass(frozen=True, slots=True)
class Reports:
    """The norms of one rank: steps int64[k], rising, and norms float64[k].

    ``norm``: of the gradient as reported; ``local``: before the reduction; ``weights``: the sum of
    the layers' weight norms; ``table`` int64[k]: which layers the rank has, 0 unknown.
    """

    steps: IntArray
    norm: FloatArray
    local: FloatArray
    weights: FloatArray
    table: IntArray

    def __len__(self) -> int:
        return len(self.steps)

    def rows(self, rows: slice | BoolArray) -> Reports:
        """Some of the reports."""
        return Reports(*(getattr(self, one.name)[rows] for one in fields(self)))

    def between(self, after: int, through: int) -> Reports:
        """The reports of the steps after one and up to another."""
        first, last = np.searchsorted(self.steps, [after, through], side="right").tolist()
        return self.rows(slice(first, last))

    def then(self, more: Reports) -> Reports:
        """These reports and those that follow."""
        names = [one.name for one in fields(self)]
        return Reports(*(np.concatenate([getattr(self, x), getattr(more, x)]) for x in names))

    def back(self, reports: int) -> int:
        """The step the rank was at so many reports ago, -1 if it was not there yet."""
        return int(self.steps[-1 - reports]) if len(self) > reports else -1


def read(frame: Frame, before: Reports | None) -> Reports:
    """What a frame adds to the reports of a rank: steps beyond all earlier ones, with a norm.

    The norm is the global one, else that over the layers. A frame without layers has those of the
    frame before.
    """
    nothing = np.full(len(frame), MISSING64)
    norm = frame.scalars.get("grad_norm", nothing)
    norm = np.where(is_missing(norm), joint_norm(frame.layers.get("grad_norm")), norm)
    local = frame.scalars.get("local_grad_norm", nothing)
    table, newest = (int(before.table[-1]), before.back(0)) if before is not None else (0, -1)
    if frame.layers_hash:
        table = int(frame.layers_hash[:_HASH_DIGITS], 16)
    weights = _sum(frame.layers.get("weight_norm"), len(frame))
    tables = np.full(len(frame), table, dtype=np.int64)
    every = Reports(frame.steps, norm, local, weights, tables)
    measured = every.rows(~(is_missing(norm) & is_missing(local)))
    reached = np.maximum.accumulate(np.concatenate([[newest], measured.steps]))
    return measured.rows(measured.steps > reached[:-1])


def side_by_side(
    reports: Mapping[str, Reports], known: LayerTable
) -> tuple[Frame, LayerTable] | None:
    """The steps that at least two ranks reported, as a frame with a column for each rank.

    The columns are those ``known`` and the new ranks in the order in which they join, then by name.
    A step that two writers of the same number reported, as when a process was started again, counts
    for neither. None where no step was reported twice.
    """
    held = {rank: one for rank, one in reports.items() if len(one)}
    every = np.concatenate([np.empty(0, np.int64), *(one.steps for one in held.values())])
    steps, count = np.unique(every, return_counts=True)
    steps = steps[count > 1]
    if not len(steps):
        return None
    rows = {rank: one.rows(np.isin(one.steps, steps)) for rank, one in held.items()}
    places = {rank: np.searchsorted(steps, one.steps) for rank, one in rows.items() if len(one)}
    table = _joined(known, places)
    norm, local, weights = (np.full((len(steps), len(table)), MISSING32) for _ in range(3))
    for rank, at in places.items():
        norm[at, table.column[rank]] = _single(rows[rank].norm)
        local[at, table.column[rank]] = _single(rows[rank].local)
        weights[at, table.column[rank]] = _single(rows[rank].weights)
    _drop_namesakes(table, norm, local, weights)
    alike = _alike([(places[rank], rows[rank].table) for rank in places], len(steps))
    frame = Frame(
        steps=steps,
        time=np.full(len(steps), MISSING64),
        scalars={ALIKE: alike},
        layers_hash=table.hash,
        layers={REPORTED: norm, LOCAL: local, WEIGHTS: weights},
    )
    return frame, table


def _sum(norms: Float32Array | None, height: int) -> FloatArray:
    """The sum of the layers' norms in each row, float64[n], from left to right; else missing."""
    if norms is None or not norms.shape[1]:
        return np.full(height, MISSING64)
    missing = is_missing(norms)
    every = np.where(missing, np.float32(0.0), norms).astype(np.float64)
    return np.where(missing.all(axis=1), MISSING64, np.add.accumulate(every, axis=1)[:, -1])


def _joined(known: LayerTable, places: Mapping[str, NDArray[np.int64]]) -> LayerTable:
    """The columns known, and those of ranks that join at these places."""
    new = sorted((int(at[0]), rank) for rank, at in places.items() if rank not in known.column)
    return LayerTable((*known.layers, *(Layer(rank) for _, rank in new))) if new else known


def _drop_namesakes(table: LayerTable, norm: Float32Array, *others: Float32Array) -> None:
    """Strike out, in place, the steps that several writers of the same number reported."""
    for columns in _namesakes(table):
        told = [~is_missing(values[:, columns]) for values in (norm, *others)]
        again = np.logical_or.reduce(told).sum(axis=1) > 1
        for values in (norm, *others):
            values[np.ix_(again, columns)] = MISSING32


@per_table
def _namesakes(table: LayerTable) -> list[list[int]]:
    """The columns of each number that several writers have."""
    numbered: dict[int, list[int]] = {}
    for column, name in enumerate(table.names):
        known = number(name)
        if known is not None:
            numbered.setdefault(known, []).append(column)
    return [columns for columns in numbered.values() if len(columns) > 1]


def _single(values: FloatArray) -> Float32Array:
    with np.errstate(over="ignore"):
        return np.where(is_missing(values), MISSING32, values.astype(np.float32))


def _alike(tables: list[tuple[NDArray[np.int64], IntArray]], height: int) -> FloatArray:
    """1 where all ranks that say which layers they have say the same, else 0: float64[n]."""
    least, most = np.full(height, np.iinfo(np.int64).max), np.zeros(height, np.int64)
    for at, table in tables:
        least[at] = np.minimum(least[at], np.where(table > 0, table, least[at]))
        most[at] = np.maximum(most[at], table)
    return np.asarray(most <= least, dtype=np.float64)
