"""Layer tables as the detectors meet them: merged as they grow, their facts worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING32, Float32Array, IntArray, LayerTable

T = TypeVar("T")
N = TypeVar("N", bound=np.generic)


def per_table(make: Callable[[LayerTable], T]) -> Callable[[LayerTable], T]:
    """Remember what a function works out from a layer table, on the table, as a property would."""
    key = f"{make.__module__}.{make.__qualname__}"

    @wraps(make)
    def recall(layers: LayerTable) -> T:
        held = vars(layers)
        if key not in held:
            held[key] = make(layers)
        return cast(T, held[key])

    return recall


def merged(old: LayerTable, new: LayerTable) -> LayerTable:
    """All layers met so far: those of ``old`` keep their column, described anew by ``new``."""
    layers = {layer.name: layer for layer in (*old.layers, *new.layers)}
    return LayerTable(tuple(layers.values()))


def rearranged(stats: Mapping[str, Float32Array], source: IntArray) -> Mapping[str, Float32Array]:
    """Per-layer statistics with column ``source[i]`` as column i; -1: not measured."""
    kept = source >= 0
    wide = {name: np.full((len(rows), len(source)), MISSING32) for name, rows in stats.items()}
    for name, rows in stats.items():
        wide[name][:, kept] = rows[:, source[kept]]
    return wide


def grown(values: NDArray[N], width: int, fill: float) -> NDArray[N]:
    """Per-layer values [..., K] of a table that has ``width`` layers by now; ``fill``: the new."""
    missing = width - values.shape[-1]
    if not missing:
        return values
    fresh = np.full((*values.shape[:-1], missing), fill, dtype=values.dtype)
    return np.concatenate([values, fresh], axis=-1)
