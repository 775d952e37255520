"""Remembers the weights' norms of the last three blocks: weights may change without an update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, Float32Array, FloatArray, IntArray

_MATRIX = 2
_ENDS = 3


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight norms at the ends of the last three blocks, the newest first: float32[≤ 3, L]."""

    ends: tuple[Float32Array, ...] = ()

    def advance(self, view: View, stop: int) -> Weights:
        """Take the rows before ``stop`` into memory."""
        norms = view.stat("weight_norm")
        if norms is None or (int(view.ordinal[stop - 1]) + 1) % BLOCK:
            return self
        return Weights((norms[stop - 1].copy(), *self.ends)[:_ENDS])

    def grown(self, source: IntArray) -> Weights:
        """Rearrange for a new table: new column i was old column ``source[i]``, -1 if new."""
        return Weights(tuple(_rearranged(norms, source) for norms in self.ends))

    def growth(self, view: View, row: int) -> Evidence | None:
        """The matrix that grew most, and by which factor in 32 reports.

        That is the factor over the last one to two blocks, or the steady growth of the last two to
        three, whichever is more. None until two blocks have ended.
        """
        norms, reports = view.stat("weight_norm"), (int(view.ordinal[row]) + 1) % BLOCK
        if norms is None or len(self.ends) < _ENDS - 1:
            return None
        matrices = np.array([len(layer.shape) >= _MATRIX for layer in view.layers.layers])
        factors = _factors(norms[row], self.ends[1], matrices)
        if len(self.ends) == _ENDS:
            blocks = _ENDS - 1 + reports / BLOCK
            steady = _factors(norms[row], self.ends[2], matrices) ** (2 / blocks)
            factors = np.maximum(factors, steady)
        if not factors.any():
            return None
        column = int(factors.argmax())
        name, factor = view.layers.names[column], float(factors[column])
        text = f"the weights of {name} have grown by a factor of {factor:.3g} in two blocks"
        return Evidence("weights-grown", text, int(view.step[row]), factor, layer=name)


def _factors(now: Float32Array, before: Float32Array, matrices: BoolArray) -> FloatArray:
    """By which factor each matrix grew, float64[L]; 0 where it is not known."""
    known = matrices & (before > 0) & np.isfinite(now)
    return np.where(known, now / np.where(known, before, np.float32(1.0)), 0.0).astype(np.float64)


def _rearranged(norms: Float32Array, source: IntArray) -> Float32Array:
    return np.where(source >= 0, norms[source], np.float32(np.nan)).astype(np.float32)
