"""How the weights of each layer have grown, for rules that look back a thousand reports."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import BLOCK, EMPTY
from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.detect.fixedpoint import FLOOR, Fixed, bits, log2_fixed
from gradwatch_service.detect.update_ratio import weights
from gradwatch_service.domain import Float32Array, FloatArray, IntArray, LayerTable

NEWEST = 7  # blocks
LOOKS = 8  # of every eighth block: the newest and the one 896 reports before
_EVERY = 8 * BLOCK


@dataclass(frozen=True, slots=True)
class WeightNorms:
    """log2 ‖w‖ of each layer, block medians in fixed point, EMPTY where not measured.

    ``newest`` int32[7, L]: the last seven blocks; ``looks`` int32[8, L]: every eighth one, the
    first being the run's first; both oldest first; ``first`` int32[L]: the first that was measured.
    """

    newest: Fixed
    looks: Fixed
    first: Fixed

    @staticmethod
    def empty(width: int) -> WeightNorms:
        """Nothing measured yet."""
        nothing = np.full((NEWEST + LOOKS, width), EMPTY, dtype=np.int32)
        return WeightNorms(nothing[:NEWEST], nothing[NEWEST:], nothing[0])

    def after(self, norm: Float32Array, ordinal: int) -> WeightNorms:
        """With the medians of the block that ended with the report ``ordinal``."""
        newest, looks, first = (
            grown(rows, len(norm), EMPTY) for rows in (self.newest, self.looks, self.first)
        )
        now = log2_fixed(norm)
        now[~(norm > 0)] = EMPTY
        if (first == EMPTY).any():
            first = np.where(first == EMPTY, np.where(norm == 0, np.int32(FLOOR), now), first)
        if is_look(ordinal):
            looks = np.concatenate([looks[1:], now[None]])
        return WeightNorms(np.concatenate([newest[1:], now[None]]), looks, first)

    def growth(self, blocks: int, before: int = 0) -> IntArray:
        """Growth over so many blocks until ``before`` blocks ago, int64[L]; -EMPTY: not known."""
        return _since(self.newest[-1 - before], self.newest[-1 - before - blocks], -EMPTY)

    def growths(self) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
        """Growth from the oldest look to the newest, from the first value, from the last look.

        In fixed point, [L], 0 where not known; and the average growth from look to look.
        """
        now = self.looks[-1]
        at = (self.looks != EMPTY).argmax(axis=0)
        whole = _since(now, self.looks[at, np.arange(len(at))], 0)
        pace = whole / np.maximum(LOOKS - 1 - at, 1)
        return whole, _since(now, self.first, 0), _since(now, self.looks[-2], 0), pace


def is_look(ordinal: int) -> bool:
    """Whether the block that ends with this report is an eighth one, beginning with the first."""
    return (ordinal + 1) % _EVERY == BLOCK


def _since(now: Fixed, before: Fixed, unknown: int) -> IntArray:
    known = (now != EMPTY) & (before != EMPTY)
    return np.where(known, now.astype(np.int64) - before, unknown)


@per_table
def norm_at_gain_1(layers: LayerTable) -> Fixed:
    """log2 of the norm at which a layer hands on what it gets, as large as it was, [L].

    EMPTY, which is endless, for what is not a weight layer. The norm is √(elements / inputs): each
    output of a matrix (outputs first) sums that many inputs; an embedding has one.
    """
    norm = np.full(len(layers), EMPTY, dtype=np.int32)
    for column in weights(layers):
        layer = layers.layers[column]
        inputs = 1 if layer.kind == "embedding" else max(math.prod(layer.shape[1:]), 1)
        norm[column] = bits(math.log2(max(layer.numel, 1) / inputs) / 2)
    return norm
