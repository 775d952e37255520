"""Cells of a heat map while values are put into them; each keeps its extremes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING32, Float32Array, IntArray

NAN, ABOVE, BELOW = 1, 2, 4

Kinds = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Heatmap:
    """R rows in depth order, C columns in step order.

    ``layers``: the names of each row's; ``steps`` int64[C]: where each column begins, ``last_step``
    where the last ends. ``low``, ``high`` float32[R, C]: the finite extremes, missing where there
    are none. ``kinds`` uint8[R, C]: 1 for a NaN in the cell, 2 for +Infinity, 4 for -Infinity.
    """

    layers: Sequence[Sequence[str]]
    steps: IntArray
    last_step: int
    low: Float32Array
    high: Float32Array
    kinds: Kinds


@dataclass(frozen=True, slots=True)
class Values:
    """Of some frames or a group, by layer: ``low``, ``high`` float32[L, n], ``kinds`` likewise."""

    layers_hash: str
    steps: IntArray
    low: Float32Array
    high: Float32Array
    kinds: Kinds | None


@dataclass(frozen=True, slots=True)
class Canvas:
    """Cells while values are put into them: extremes ±inf where there is none yet."""

    edges: IntArray
    low: Float32Array
    high: Float32Array
    kinds: Kinds

    @staticmethod
    def of(rows: int, edges: IntArray) -> Canvas:
        """An empty one."""
        shape = (rows, len(edges))
        return Canvas(
            edges,
            np.full(shape, np.inf, np.float32),
            np.full(shape, -np.inf, np.float32),
            np.zeros(shape, np.uint8),
        )

    def paint(self, one: Values, steps: tuple[int, int], rows: IntArray) -> None:
        """Put in what lies within the steps, of layers that have a row."""
        inside = np.flatnonzero((one.steps >= steps[0]) & (one.steps <= steps[1]))
        placed = np.flatnonzero(rows >= 0)
        if not (len(inside) and len(placed)):
            return
        column = np.searchsorted(self.edges, one.steps[inside], side="right") - 1
        across = _Fold.of(column, inside, len(one.steps))
        along = _Fold.of(rows[placed], placed, len(one.low))
        for mine, given, combine in (
            (self.low, one.low, np.minimum),
            (self.high, one.high, np.maximum),
            (self.kinds, one.kinds, np.bitwise_or),
        ):
            if given is not None:
                folded = along.apply(across.apply(given, combine, axis=1), combine, axis=0)
                part = mine[along.span(), across.span()]
                if part.shape == folded.shape:  # no gaps, hence no copies
                    combine(part, folded, out=part)
                    continue
                cells = np.ix_(along.within(), across.within())
                part[cells] = combine(part[cells], folded)

    def picture(self, names: Sequence[Sequence[str]], last_step: int) -> Heatmap:
        """The finished picture."""
        low = np.where(np.isposinf(self.low), MISSING32, self.low)
        high = np.where(np.isneginf(self.high), MISSING32, self.high)
        return Heatmap(names, self.edges, last_step, low, high, self.kinds)


@dataclass(frozen=True, slots=True)
class _Fold:
    """Combines places that belong to one target; ``order`` None: they are each one, in order."""

    order: IntArray | None
    starts: IntArray
    targets: IntArray

    @staticmethod
    def of(target: IntArray, places: IntArray, count: int) -> _Fold:
        order = np.argsort(target, kind="stable")
        ordered = target[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
        alone = len(starts) == count and bool((order == np.arange(count)).all())
        return _Fold(None if alone else places[order], starts, ordered[starts])

    def apply(self, values: NDArray[Any], combine: np.ufunc, axis: int) -> NDArray[Any]:
        if self.order is None:
            return values
        taken = values.take(self.order, axis=axis)
        if len(self.starts) == len(self.order):
            return taken
        return np.asarray(combine.reduceat(taken, self.starts, axis=axis))

    def span(self) -> slice:
        """From the first target to the last."""
        return slice(int(self.targets[0]), int(self.targets[-1]) + 1)

    def within(self) -> IntArray:
        """The targets, counted from the first."""
        return np.asarray(self.targets - self.targets[0])
