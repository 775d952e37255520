"""Fewer rows that still show what matters: of 64 rows the extremes, and everything non-finite.

Each extreme keeps its own step, so that a thinned series has only true points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING32, MISSING64, IntArray, is_missing
from gradwatch_service.store.tiles import Values

FACTOR = 64

PLANES = ("low", "high", "low_at", "high_at", "nan_at", "above_at", "below_at", "measured")
_WORDS = (np.nan, np.inf, -np.inf)

Unsigned = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Buckets:
    """B buckets of C columns: ``base`` int64[B] is each one's first step.

    ``low`` and ``high`` [B, C]: the extremes, missing where nothing finite was measured. The planes
    ``…_at``: 1 + the steps from the base to the extreme, or to the first NaN, +Infinity, -Infinity;
    0 where there is none. ``measured``: how many values.
    """

    base: IntArray
    low: Values
    high: Values
    low_at: Unsigned
    high_at: Unsigned
    nan_at: Unsigned
    above_at: Unsigned
    below_at: Unsigned
    measured: Unsigned

    def planes(self) -> Unsigned:
        """As unsigned integers, [B, 8 C]: the eight planes of a column side by side."""
        kind = f"<u{self.low.dtype.itemsize}"
        planes = np.stack([getattr(self, name).view(kind) for name in PLANES], axis=2)
        return planes.reshape(len(planes), -1)

    @staticmethod
    def of_planes(base: IntArray, planes: Unsigned) -> Buckets:
        """What ``planes`` made them into; ``planes`` [B, 8 C]."""
        kind = f"<f{planes.dtype.itemsize}"
        columns = planes.reshape(len(planes), -1, len(PLANES))
        low, high, *rest = (np.ascontiguousarray(columns[..., i]) for i in range(len(PLANES)))
        return Buckets(base, low.view(kind), high.view(kind), *rest)

    def points(self) -> tuple[IntArray, Values]:
        """The points of a single column, unordered: extremes and the first of each non-finite."""
        places = np.concatenate(
            [self.low_at, self.high_at, self.nan_at, self.above_at, self.below_at], axis=1
        )
        words = np.broadcast_to(np.array(_WORDS, self.low.dtype), (len(self.base), len(_WORDS)))
        values = np.concatenate([self.low, self.high, words], axis=1)
        places[:, 1] = np.where(places[:, 0] == places[:, 1], 0, places[:, 1])
        there = places > 0
        steps = self.base[:, None] + places.astype(np.int64) - 1
        return steps[there], values[there]


def of_rows(steps: IntArray, values: Values) -> Buckets:
    """One bucket per row; values [n, C]."""
    kind = np.dtype(f"<u{values.dtype.itemsize}")
    finite = np.isfinite(values)
    if finite.all():
        one, none = np.ones_like(values, kind), np.zeros_like(values, kind)
        return Buckets(steps, values, values, one, one, none, none, none, one)
    number = np.where(finite, values, _missing(values))
    nan = np.isnan(values) & ~is_missing(values)
    above, below = np.isposinf(values), np.isneginf(values)
    flags = [
        flag.astype(kind) for flag in (finite, nan, above, below, finite | nan | above | below)
    ]
    return Buckets(steps, number, number, flags[0], *flags)


def merged(fine: Buckets) -> Buckets:
    """Each 64 buckets as one; the last may have fewer."""
    starts = np.arange(0, len(fine.base), FACTOR)
    base = np.minimum.reduceat(fine.base, starts)
    shift = fine.base - np.repeat(base, np.diff([*starts, len(fine.base)]))
    low, low_at = _extreme(fine.low, fine.low_at, shift, np.argmin)
    high, high_at = _extreme(fine.high, fine.high_at, shift, np.argmax)
    return Buckets(
        base=base,
        low=low,
        high=high,
        low_at=low_at,
        high_at=high_at,
        nan_at=_first(fine.nan_at, shift, starts),
        above_at=_first(fine.above_at, shift, starts),
        below_at=_first(fine.below_at, shift, starts),
        measured=np.add.reduceat(fine.measured, starts, axis=0, dtype=fine.measured.dtype),
    )


def joined(parts: list[Buckets]) -> Buckets:
    """Buckets of the same columns, one after the other."""
    planes = [np.concatenate([getattr(part, name) for part in parts]) for name in PLANES]
    return Buckets(np.concatenate([part.base for part in parts]), *planes)


def _moved(places: Unsigned, shift: IntArray) -> Unsigned:
    """Places counted from another base; beyond what fits, the furthest that does."""
    most = np.iinfo(places.dtype).max
    far = np.minimum(places.astype(np.uint64) + shift.astype(np.uint64), most)
    return np.where(places > 0, far, 0).astype(places.dtype)


def _extreme(
    values: Values, places: Unsigned, shift: IntArray, pick: Any
) -> tuple[Values, Unsigned]:
    worst = values.dtype.type(np.inf if pick is np.argmin else -np.inf)
    ranked = _cut(np.where(places > 0, values, worst), worst)
    rows = FACTOR * np.arange(len(ranked))[:, None] + pick(ranked, axis=1)
    columns = np.arange(values.shape[1])
    where = _moved(places[rows, columns], shift[rows])
    return np.where(where > 0, values[rows, columns], _missing(values)), where


def _first(places: Unsigned, shift: IntArray, starts: IntArray) -> Unsigned:
    if not places.any():
        return np.zeros((len(starts), places.shape[1]), places.dtype)
    none = np.iinfo(places.dtype).max
    moved = _moved(places, shift[:, None])
    least = np.minimum.reduceat(np.where(moved > 0, moved, none), starts, axis=0)
    return np.where(least == none, 0, least).astype(places.dtype)


def _cut(values: Values, filler: float) -> Values:
    """[n, C] as [buckets, 64, C], filled at the end."""
    gap = -len(values) % FACTOR
    if gap:
        values = np.concatenate([values, np.full((gap, values.shape[1]), filler, values.dtype)])
    return values.reshape(-1, FACTOR, values.shape[1])


def _missing(values: Values) -> Any:
    return MISSING32 if values.dtype.itemsize == np.float32().itemsize else MISSING64
