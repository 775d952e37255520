"""Remembers the weights' norms of the last three blocks: weights may change without an update."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, Float32Array, IntArray

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
        """By which factor in two blocks the matrix grew that did most, over the last two or three.

        None until three blocks have ended.
        """
        norms = view.stat("weight_norm")
        if norms is None or len(self.ends) < _ENDS:
            return None
        before = self.ends[-1]
        blocks = _ENDS - 1 + (int(view.ordinal[row]) + 1) % BLOCK / BLOCK
        matrices = np.array([len(layer.shape) >= _MATRIX for layer in view.layers.layers])
        known = matrices & (before > 0) & np.isfinite(norms[row])
        factors = np.where(known, norms[row] / np.where(known, before, 1.0), 0.0)
        if not known.any():
            return None
        column = int(factors.argmax())
        name, factor = view.layers.names[column], float(factors[column]) ** (2 / blocks)
        text = f"the weights of {name} grow by a factor of {factor:.3g} in {2 * BLOCK} reports"
        return Evidence("weights-grown", text, int(view.step[row]), factor, layer=name)


def _rearranged(norms: Float32Array, source: IntArray) -> Float32Array:
    return np.where(source >= 0, norms[source], np.float32(np.nan)).astype(np.float32)
