"""Where the number formats of gradients end."""

from __future__ import annotations

import numpy as np

from gradwatch_service.detect.block import half_log_numel
from gradwatch_service.detect.columns import per_table
from gradwatch_service.detect.fixedpoint import ONE_BIT, Fixed, bits
from gradwatch_service.domain import FloatArray, LayerTable

# log2 of the largest number; bfloat16 has the exponent of float32.
HALF = frozenset({"float16", "fp16", "half"})
MAX_BITS = {**dict.fromkeys(HALF, 15.9993), "float64": 1024.0}
DEFAULT_MAX_BITS = 128.0
# The other end of float16: below the first its numbers lose digits, below the second they are 0.
HALF_NORMAL_BITS, HALF_LEAST_BITS = -14, -24


@per_table
def element_limit(layers: LayerTable) -> Fixed:
    """log2 of the largest gradient element each layer can hold, fixed point [L]."""
    return _fixed(_max_bits(layers))


@per_table
def norm_limit(layers: LayerTable) -> Fixed:
    """log2 of the norm at which each layer's sum of squares overflows, fixed point [L].

    Squares are summed up in float32 at least: 2**64.
    """
    return _fixed(np.maximum(_max_bits(layers), DEFAULT_MAX_BITS) / 2)


@per_table
def global_norm_limit(layers: LayerTable) -> int:
    """The same for the norm over all layers, in fixed point."""
    return min(norm_limit(layers).tolist(), default=bits(DEFAULT_MAX_BITS / 2))


@per_table
def norm_over_rms(layers: LayerTable) -> Fixed:
    """log2 of the root of each layer's size, fixed point [L]: norm over typical element."""
    return _fixed(half_log_numel(layers))


def _max_bits(layers: LayerTable) -> FloatArray:
    known = [MAX_BITS.get(layer.dtype, DEFAULT_MAX_BITS) for layer in layers.layers]
    return np.array(known, dtype=np.float64)


def _fixed(limit: FloatArray) -> Fixed:
    return np.rint(limit * ONE_BIT).astype(np.int32)
