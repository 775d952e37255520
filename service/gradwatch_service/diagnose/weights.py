"""Remembers the weights' norms of the last three blocks: weights may change without an update.

They need not come with every report: what counts in a block is its newest measurement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    MISSING32,
    BoolArray,
    Evidence,
    Float32Array,
    FloatArray,
    IntArray,
    is_missing,
)

_MATRIX = 2
_ENDS = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """The last weight norms of each of three blocks, the newest first: float32[≤ 3, L].

    ``newest``: the last ones of the block that is not over yet.
    """

    ends: tuple[Float32Array, ...] = ()
    newest: Float32Array | None = None

    def advance(self, view: View, start: int, stop: int) -> Weights:
        """Take the rows from ``start`` to ``stop``, which are of one block, into memory."""
        norms = view.stat("weight_norm")
        found = None if norms is None else _last_measured(norms[start:stop])
        newest = self.newest if found is None else found
        if (int(view.ordinal[stop - 1]) + 1) % BLOCK:
            return self if found is None else Weights(self.ends, newest)
        if newest is None and not self.ends:
            return self
        end = np.full(len(view.layers), MISSING32) if newest is None else newest
        return Weights((end, *self.ends)[:_ENDS])

    def grown(self, source: IntArray) -> Weights:
        """Rearrange for a new table: new column i was old column ``source[i]``, -1 if new."""
        newest = None if self.newest is None else _rearranged(self.newest, source)
        return Weights(tuple(_rearranged(norms, source) for norms in self.ends), newest)

    def growth(self, view: View, row: int) -> Evidence | None:
        """The matrix that grew most, and by which factor in 32 reports.

        That is the factor over the last one to two blocks, or the steady growth of the last two to
        three, whichever is more. None until two blocks have ended. The memory includes the row.
        """
        reports = (int(view.ordinal[row]) + 1) % BLOCK
        if len(self.ends) < _ENDS - 1:
            return None
        now = self.ends[0] if self.newest is None else self.newest
        matrices = np.array([len(layer.shape) >= _MATRIX for layer in view.layers.layers])
        factors = _factors(now, self.ends[1], matrices)
        if len(self.ends) == _ENDS:
            blocks = _ENDS - 1 + reports / BLOCK
            steady = _factors(now, self.ends[2], matrices) ** (2 / blocks)
            factors = np.maximum(factors, steady)
        if not factors.any():
            return None
        column = int(factors.argmax())
        name, factor = view.layers.names[column], float(factors[column])
        text = f"the weights of {name} have grown by a factor of {factor:.3g} in two blocks"
        return Evidence("weights-grown", text, int(view.step[row]), factor, layer=name)


def _last_measured(norms: Float32Array) -> Float32Array | None:
    """The last row in which anything was measured."""
    rows = np.flatnonzero(~is_missing(norms).all(axis=1))
    return norms[rows[-1]].copy() if len(rows) else None


def _factors(now: Float32Array, before: Float32Array, matrices: BoolArray) -> FloatArray:
    """By which factor each matrix grew, float64[L]; 0 where it is not known."""
    known = matrices & (before > 0) & np.isfinite(now)
    return np.where(known, now / np.where(known, before, np.float32(1.0)), 0.0).astype(np.float64)


def _rearranged(norms: Float32Array, source: IntArray) -> Float32Array:
    return np.where(source >= 0, norms[source], np.float32(np.nan)).astype(np.float32)
