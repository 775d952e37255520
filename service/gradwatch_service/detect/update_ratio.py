"""The relative size of an update: median over weight layers of ‖Δw‖ / ‖w‖ ("uw")."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradwatch_service.detect.columns import per_table
from gradwatch_service.domain import (
    MISSING64,
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    Layer,
    LayerTable,
)

MIN_ELEMENTS = 1024
NOT_WEIGHTS = frozenset({"bias", "norm"})
NOT_TYPICAL = NOT_WEIGHTS | {"embedding", "head"}


@per_table
def typical(layers: LayerTable) -> IntArray:
    """Columns of the layers whose update ratio is typical of the net: int64[K].

    Weight layers with at least 1,024 elements (or of unknown shape); in a net that has none, every
    weight layer.
    """
    every = weights(layers)
    large = every[[_is_large(layers.layers[column]) for column in every]]
    return large if len(large) else every


@per_table
def weights(layers: LayerTable) -> IntArray:
    """Columns of the weight layers, neither biases nor normalisation: int64[K]."""
    columns = [
        column
        for column, layer in enumerate(layers.layers)
        if layer.kind not in NOT_WEIGHTS and not layer.name.endswith("bias")
    ]
    return np.array(columns, dtype=np.int64)


@per_table
def is_weight(layers: LayerTable) -> BoolArray:
    """Which columns are weight layers: bool[L]."""
    return np.isin(np.arange(len(layers)), weights(layers))


def _is_large(layer: Layer) -> bool:
    return layer.kind not in NOT_TYPICAL and (layer.numel >= MIN_ELEMENTS or not layer.shape)


@per_table
def floors(layers: LayerTable) -> FloatArray:
    """Of each typical layer the weight norm below which it counts as this: 1e-3·√numel."""
    return 1e-3 * np.sqrt(layers.numel[typical(layers)])


def median_update_ratio(
    stats: Mapping[str, Float32Array], layers: LayerTable
) -> FloatArray | np.float64:
    """Uw per row, float64[n]: the median of ‖u‖ / max(‖w‖, 1e-3·√numel); missing if unknown.

    A layer that did not move at all (frozen, or the step was skipped) does not count, nor one that
    is all zeros, as some are at first: its first update is beyond all proportion. Of an even number
    the lower middle one is taken: two layers do not tell which of them is typical.
    """
    update, weight = stats.get("update_norm"), stats.get("weight_norm")
    chosen = typical(layers)
    if update is None or weight is None or not len(chosen):
        return MISSING64
    u, w = update.take(chosen, axis=1), weight.take(chosen, axis=1)
    unknown = ~((u > 0) & (u < np.inf) & (w > 0) & (w < np.inf))
    ratio: FloatArray = u / np.maximum(w, floors(layers))
    ratio[unknown] = np.inf
    count = len(chosen) - unknown.sum(axis=1)
    ratio.sort(axis=1)
    middle: FloatArray = ratio[np.arange(len(ratio)), np.maximum(count - 1, 0) // 2]
    middle[count == 0] = MISSING64
    return middle
