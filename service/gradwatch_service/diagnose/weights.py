"""Remembers the weights' norms of the last two blocks: weights may change without an update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, Float32Array, IntArray

_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight norms at the ends of the last block and of the one before, float32[L] each."""

    newer: Float32Array | None = None
    older: Float32Array | None = None

    def advance(self, view: View, stop: int) -> Weights:
        """Take the rows before ``stop`` into memory."""
        norms = view.stat("weight_norm")
        if norms is None or (int(view.ordinal[stop - 1]) + 1) % BLOCK:
            return self
        return Weights(norms[stop - 1].copy(), self.newer)

    def grown(self, source: IntArray) -> Weights:
        """Rearrange for a new table: new column i was old column ``source[i]``, -1 if new."""
        return Weights(_rearranged(self.newer, source), _rearranged(self.older, source))

    def growth(self, view: View, row: int) -> Evidence | None:
        """By which factor the matrix that grew most did so since the older of the two."""
        norms, before = view.stat("weight_norm"), self.older
        if norms is None or before is None:
            return None
        matrices = np.array([len(layer.shape) >= _MATRIX for layer in view.layers.layers])
        known = matrices & (before > 0) & np.isfinite(norms[row])
        factors = np.where(known, norms[row] / np.where(known, before, 1.0), 0.0)
        if not known.any():
            return None
        column = int(factors.argmax())
        name, factor = view.layers.names[column], float(factors[column])
        text = f"the weights of {name} are {factor:.3g} times what they were two blocks ago"
        return Evidence("weights-grown", text, int(view.step[row]), factor, layer=name)


def _rearranged(norms: Float32Array | None, source: IntArray) -> Float32Array | None:
    if norms is None:
        return None
    return np.where(source >= 0, norms[source], np.float32(np.nan)).astype(np.float32)
