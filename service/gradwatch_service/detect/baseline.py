"""Substrate S1-S3: what is normal for each column, frozen within a block of 16 reports.

``Baseline`` is the robust location and scale over the last 64 values (S1); ``LongTerm`` adds the
slow level over 64 block medians (S2) and the tail guard over 64 block maxima of z (S3). Both are
values: ``absorb`` takes the rows of a closed block and returns the next one. A column only ages by
the reports that measured it, so a sparse or late one is judged like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np

from gradwatch_service.detect.fixedpoint import ONE_BIT, Fixed, bits
from gradwatch_service.domain import BoolArray, Float32Array, FloatArray, IntArray

BLOCK = 16
RING = 64
READY_AFTER = 32
EMPTY = np.iinfo(np.int32).max  # no value in this place
_PLACES: IntArray = np.arange(RING)

_MAD_TO_SIGMA = 1518  # 1.4826 * 2**10
_SCALE_FLOOR = bits(0.04)
_FIRST_LIMIT, _SECOND_LIMIT = 8.0, 6.0
_FIRST_UNTIL, _SECOND_UNTIL = 96, 160
_TAIL_FACTOR = 2.8
_SLACK_BITS = 0.01
_NO_RING = np.empty((0, RING), np.int32)


@dataclass(frozen=True, slots=True)
class Baseline:
    """S1 of C columns: ``ring`` int32[C, 64], ``seen`` int64[C], ``median``, ``scale`` int32[C]."""

    ring: Fixed
    seen: IntArray
    median: Fixed
    scale: Fixed
    ready: BoolArray
    unit: FloatArray  # what a z of 1 is: the scale, without end until ready

    @staticmethod
    def empty(columns: int) -> Baseline:
        """A baseline that has seen nothing."""
        return Baseline(
            ring=np.full((columns, RING), EMPTY, dtype=np.int32),
            seen=np.zeros(columns, dtype=np.int64),
            median=np.zeros(columns, dtype=np.int32),
            scale=np.full(columns, _SCALE_FLOOR, dtype=np.int32),
            ready=np.zeros(columns, dtype=np.bool_),
            unit=np.full(columns, np.inf),
        )

    def summary(self) -> Baseline:
        """What it says of the columns, without the values it was worked out from."""
        return replace(self, ring=_NO_RING)

    def says_the_same(self, other: Baseline) -> bool:
        """Whether one is the other, or its summary."""
        return self.median is other.median

    def z(self, y: Fixed) -> FloatArray:
        """Robust z of ``y`` int32[n, C]: distance to the median in scales; 0 until ready."""
        return np.asarray((y - self.median) / self.unit)

    def bound(self, far: FloatArray) -> Float32Array:
        """Numbers below it are less than ``far`` units over the median: float32[C].

        A little low, never too high; endless where no float32 is that large.
        """
        with np.errstate(over="ignore"):
            return np.exp2((self.median + far) / ONE_BIT - _SLACK_BITS).astype(np.float32)

    def absorb(self, rows: Fixed) -> Baseline:
        """Take a closed block, int32[k, C], EMPTY where there is no value.

        ``s = max(1.4826 * MAD, 0.04 bit)`` over the last 64 values, spiked ones included: that is
        how the baseline adapts to a new level within about 48 reports.
        """
        valid = rows != EMPTY
        if not valid.any():
            return self
        ring = _written(self.ring, self.seen, rows, valid)
        seen = self.seen + valid.sum(axis=0)
        median, scale = _location_and_scale(ring, np.minimum(seen, RING) // 2)
        unknown, ready = seen == 0, seen >= READY_AFTER
        median[unknown], scale[unknown] = 0, _SCALE_FLOOR
        unit = scale.astype(np.float64)
        unit[~ready] = np.inf
        return Baseline(ring, seen, median, scale, ready, unit)

    def rearranged(self, source: IntArray) -> Baseline:
        """The baseline whose column i was column ``source[i]`` here; -1: nothing seen yet."""
        return _rearranged(self, Baseline.empty(len(source)), source)


@dataclass(frozen=True, slots=True)
class LongTerm:
    """S2 and S3 of C columns; ``limit`` float64[C]: zt.

    ``medians`` int32[C, 64] and ``maxima`` float64[C, 64] are rings over the last of the ``blocks``
    int64[C] that held a value of the column.
    """

    medians: Fixed
    maxima: FloatArray
    blocks: IntArray
    limit: FloatArray

    @staticmethod
    def empty(columns: int) -> LongTerm:
        """A long-term baseline that has seen nothing."""
        return LongTerm(
            medians=np.full((columns, RING), EMPTY, dtype=np.int32),
            maxima=np.full((columns, RING), np.inf),
            blocks=np.zeros(columns, dtype=np.int64),
            limit=np.full(columns, _FIRST_LIMIT),
        )

    @property
    def slow(self) -> Fixed:
        """The level long ago, int32[C]: the median of the block medians without the last two.

        The first one while there are no others.
        """
        held = np.minimum(self.blocks, RING)
        newest = np.minimum(np.maximum(held - 1, 0), 2)
        age = (self.blocks[:, None] - 1 - _PLACES) % RING
        older = self.medians.copy()
        older[age < newest[:, None]] = EMPTY
        slow = _pick(older, (held - newest) // 2)
        slow[held == 0] = 0
        return slow

    def absorb(self, rows: Fixed, before: Baseline, after: Baseline) -> LongTerm:
        """Take a closed block, int32[k, C]; z is against the baseline ``before`` it."""
        empty = rows == EMPTY
        column = (~empty.all(axis=0)).nonzero()[0]
        slot = self.blocks[column] % RING
        z = before.z(rows)
        z[empty] = -np.inf
        medians, maxima, blocks = self.medians.copy(), self.maxima.copy(), self.blocks.copy()
        medians[column, slot] = upper_median(rows)[column]
        maxima[column, slot] = z.max(axis=0)[column]
        blocks[column] += 1
        return LongTerm(
            medians=medians,
            maxima=maxima,
            blocks=blocks,
            limit=tail_limit(maxima, blocks, after.seen),
        )

    def rearranged(self, source: IntArray) -> LongTerm:
        """The long-term baseline whose column i was column ``source[i]`` here; -1: a new one."""
        return _rearranged(self, LongTerm.empty(len(source)), source)


_Columns = TypeVar("_Columns", Baseline, LongTerm)


def _rearranged(old: _Columns, fresh: _Columns, source: IntArray) -> _Columns:
    kept = source >= 0
    for field in fields(old):
        getattr(fresh, field.name)[kept] = getattr(old, field.name)[source[kept]]
    return fresh


def _written(ring: Fixed, seen: IntArray, rows: Fixed, valid: BoolArray) -> Fixed:
    """The rings [C, 64] with the valid values of rows [k, C] in their next places."""
    ring = ring.copy()
    if valid.all() and (seen == seen[0]).all():  # the usual case, in a fifth of the time
        ring[:, (seen[0] + np.arange(len(rows))) % RING] = rows.T
        return ring
    position = (seen + valid.cumsum(axis=0) - 1) % RING
    row, column = np.nonzero(valid)
    ring[column, position[row, column]] = rows[row, column]
    return ring


def upper_median(rows: Fixed) -> Fixed:
    """Median of the values of each column of ``rows`` int32[k, C]; EMPTY where there is none.

    Of an even number of values it is the upper middle one: an integer that was measured.
    """
    held = len(rows) - (rows == EMPTY).sum(axis=0)
    return _pick(rows.T, held // 2)


def _location_and_scale(ring: Fixed, middle: IntArray) -> tuple[Fixed, Fixed]:
    """Median and scale of each row of ``ring``; meaningless where it holds nothing."""
    median = _pick(ring, middle)
    deviation = np.abs(ring - median[:, None])
    deviation[ring == EMPTY] = EMPTY
    mad = _pick(deviation, middle).astype(np.int64)
    return median, np.maximum((mad * _MAD_TO_SIGMA) >> 10, _SCALE_FLOOR).astype(np.int32)


def _pick(values: Fixed, index: IntArray) -> Fixed:
    """The ``index``-th smallest value of each row."""
    ordered = np.sort(values, axis=1)
    return np.asarray(ordered[np.arange(len(values)), index])


def tail_limit(maxima: FloatArray | Float32Array, blocks: IntArray, seen: IntArray) -> FloatArray:
    """S3: 8 below 96 values, 6 below 160, then max(6, 2.8 * P90 of the block maxima of z)."""
    held = np.minimum(blocks, RING)
    ordered = np.sort(maxima, axis=1)
    p90 = ordered[np.arange(len(ordered)), held * 9 // 10]
    late = np.maximum(_SECOND_LIMIT, _TAIL_FACTOR * p90)
    early = np.where(seen < _FIRST_UNTIL, _FIRST_LIMIT, _SECOND_LIMIT)
    return np.where(seen < _SECOND_UNTIL, early, late)
