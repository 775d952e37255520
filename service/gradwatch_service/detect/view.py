"""What a rule sees: consecutive reports inside one block, with everything shared computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gradwatch_service.detect.baseline import BLOCK, Baseline, LongTerm
from gradwatch_service.detect.block import Block
from gradwatch_service.detect.fixedpoint import Fixed, log2_fixed
from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    LayerTable,
    is_missing,
)

LONGEST_WINDOW = 128


@dataclass(frozen=True, slots=True)
class Past:
    """The newest finite values of a track, oldest first, int32[128], and their ordinals.

    ``count`` is how many there ever were; places not filled yet hold 0.
    """

    y: Fixed
    ordinal: IntArray
    count: int = 0

    @staticmethod
    def empty() -> Past:
        """Nothing measured yet."""
        return Past(np.zeros(LONGEST_WINDOW, np.int32), np.zeros(LONGEST_WINDOW, np.int64))

    def values(self) -> Fixed:
        """The places that are filled, oldest first."""
        return self.y[max(LONGEST_WINDOW - self.count, 0) :]

    def after(self, y: Fixed, ordinal: IntArray) -> Past:
        """The past once these values have been measured, too."""
        if not len(y):
            return self
        return Past(
            np.concatenate([self.y[len(y) :], y]),
            np.concatenate([self.ordinal[len(y) :], ordinal]),
            self.count + len(y),
        )


@dataclass(frozen=True)
class Track:
    """One scalar over the rows of a view: values, robust z and what was normal before the block.

    ``y``: int32[n] fixed-point log2, invalid rows replaced by the median; ``ok``: measured and
    finite; ``bad``: measured, not finite; ``z``: 0 where not ok or not ready; ``count``: finite
    values so far, the row's own included; ``ordinal``: of the rows; ``past``: the values before;
    ``longterm``: what was normal long ago, the track being its ``column``; ``linear``: the loss has
    been negative, its unit is not a logarithm any more.
    """

    y: Fixed
    ok: BoolArray
    bad: BoolArray
    z: FloatArray
    count: IntArray
    ordinal: IntArray
    median: int
    scale: int
    limit: float
    ready: bool
    past: Past
    longterm: LongTerm
    column: int
    linear: bool = False

    @cached_property
    def slow(self) -> int:
        """The level long ago."""
        return int(self.longterm.slow[self.column])

    @property
    def measured(self) -> BoolArray:
        """Rows in which the scalar was reported, finite or not: bool[n]."""
        return self.ok | self.bad

    @cached_property
    def values(self) -> Fixed:
        """The 128 finite values before the view and those in it, oldest first."""
        return np.concatenate([self.past.y, self.y[self.ok]])

    @cached_property
    def stretch(self) -> int | None:
        """The row at which a stretch of 16 finite values ends; None: at none."""
        before, after = self.past.count, int(self.count[-1])
        if before // BLOCK == after // BLOCK:
            return None
        return int(self.ok.nonzero()[0][BLOCK - before % BLOCK - 1])

    @cached_property
    def medians(self) -> Fixed:
        """Upper median of the last 16 values at each row, int32[n]; meaningless while fewer."""
        return upper_medians(self.window(BLOCK))

    def level(self, row: int) -> int:
        """Upper median of the last 16 values at one row."""
        values: list[int] = self.last(row, BLOCK).tolist()
        return sorted(values)[BLOCK // 2]

    def window(self, length: int) -> Fixed:
        """The last ``length`` ≤ 128 finite values at each row, int32[n, length].

        A row without a value repeats the window before. Meaningless where ``count < length``.
        """
        return np.asarray(self.values[self._places(length)])

    def last(self, row: int, length: int) -> Fixed:
        """The last ``length`` ≤ 128 finite values at one row: that row of the window."""
        end = LONGEST_WINDOW + int(self.count[row]) - self.past.count
        return self.values[end - length : end]

    def span(self, length: int) -> IntArray:
        """How many reports lie between the first and the last value of the window: int64[n]."""
        joined = np.concatenate([self.past.ordinal, self.ordinal[self.ok]])
        ordinals = joined[self._places(length)]
        return np.asarray(ordinals[:, -1] - ordinals[:, 0])

    def newest(self) -> Past:
        """The past of the rows that follow."""
        past, ordinal = self.past, self.ordinal[self.ok]
        return Past(
            self.values[-LONGEST_WINDOW:],
            np.concatenate([past.ordinal[len(ordinal) :], ordinal]),
            past.count + len(ordinal),
        )

    def _places(self, length: int) -> IntArray:
        ends = self.count - (self.past.count - LONGEST_WINDOW)
        return np.asarray(ends[:, None] + np.arange(-length, 0))


def upper_medians(windows: Fixed) -> Fixed:
    """Upper median of each row of ``windows`` int32[n, k]."""
    return np.asarray(np.sort(windows, axis=1)[:, windows.shape[1] // 2])


@dataclass(frozen=True, slots=True)
class LayerTrack:
    """The gradient norms of all layers over the rows of a view; shapes [n, L] and [L]."""

    y: Fixed
    ok: BoolArray
    bad: BoolArray
    z: FloatArray
    median: Fixed
    scale: Fixed
    ready: BoolArray


@dataclass(frozen=True)
class View:
    """At most 16 consecutive reports of one writer; never spans two blocks; arrays are read-only.

    ``ordinal`` int64[n] counts the writer's reports from 0, ``step`` int64[n] is the user's step.
    ``layers`` are all layers met so far, the columns of ``stats``. ``norm``, ``loss`` and ``ratio``
    are the global gradient norm, the loss and the median over weight layers of update norm / weight
    norm; ``usual``: the baseline of the layers' gradient norms; ``announced`` bool[n]: the learning
    rate, batch size or sequence length changed, or the job announced a phase or a resume, within
    64 reports; ``block``: set if the last row closes a block.

    A statistic that a frame lacks and one missing in every row must mean the same to a rule.
    """

    layers: LayerTable
    ordinal: IntArray
    step: IntArray
    scalars: Mapping[str, FloatArray]
    stats: Mapping[str, Float32Array]
    profiles: Mapping[str, Float32Array]
    norm: Track
    loss: Track
    ratio: Track
    usual: Baseline
    announced: BoolArray
    block: Block | None

    def __len__(self) -> int:
        return len(self.ordinal)

    @cached_property
    def layer(self) -> LayerTrack:
        """The gradient norm of every layer against its own baseline."""
        grad, usual = self.stat("grad_norm"), self.usual
        if grad is None:
            grad = np.full((len(self), len(self.layers)), MISSING32)
        ok = np.isfinite(grad)
        y = np.where(ok, log2_fixed(grad), usual.median).astype(np.int32)
        bad = ~ok & ~is_missing(grad)
        return LayerTrack(y, ok, bad, usual.z(y), usual.median, usual.scale, usual.ready)

    def scalar(self, name: str) -> FloatArray:
        """A scalar as float64[n]; all missing when the frame does not carry it."""
        found = self.scalars.get(name)
        return np.full(len(self), MISSING64) if found is None else found

    def number(self, name: str, row: int) -> float:
        """A scalar in one row; NaN where it was not measured or is not finite."""
        found = self.scalars.get(name)
        value = math.nan if found is None else float(found[row])
        return value if math.isfinite(value) else math.nan

    def measured(self, name: str) -> FloatArray:
        """A scalar as float64[n] with every unmeasured or non-finite value as plain NaN."""
        values = self.scalar(name)
        return np.where(np.isfinite(values), values, np.nan)

    def stat(self, name: str) -> Float32Array | None:
        """A per-layer statistic as float32[n, L], None when the frame does not carry it."""
        return self.stats.get(name)
