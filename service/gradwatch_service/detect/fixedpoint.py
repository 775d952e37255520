"""Substrate S0: base-2 logarithms in fixed point, exact integers on every processor and batch size.

``numpy.log2`` may differ in the last bit between SIMD paths, and with it an alert between replicas.
Here the exponent is read from the float's own bits and the mantissa looked up in a table, so the
result is an integer that depends on the number alone. Unit: 2**-14 bit; error below 2 units.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import Float32Array, FloatArray

Fixed: TypeAlias = NDArray[np.int32]

FRACTION_BITS = 14
ONE_BIT = 1 << FRACTION_BITS
FLOOR = -140 * ONE_BIT

# Exponent and leading mantissa bits, read as one integer, are already a logarithm but for the
# curve between two powers of two: this is what the curve adds.
_CURVE: Fixed = np.array(
    [round(math.log2(1 + i / ONE_BIT) * ONE_BIT) - i for i in range(ONE_BIT)], dtype=np.int32
)


def bits(value: float) -> int:
    """Convert a number of bits (a base-2 logarithm) to fixed point."""
    return round(value * ONE_BIT)


def as_bits(fixed: int | np.integer) -> float:
    """Convert fixed point back to a number of bits."""
    return float(fixed) / ONE_BIT


def as_value(fixed: int | np.integer) -> float:
    """The positive number whose base-2 logarithm is ``fixed``; inf beyond the float range."""
    return power(as_bits(fixed))


def power(exponent: float) -> float:
    """The factor that so many bits are; inf beyond the float range."""
    return math.inf if exponent >= 1024 else 2.0**exponent


def log2_fixed(values: FloatArray | Float32Array) -> Fixed:
    """Base-2 logarithm of the magnitude of finite values, as int32 of the same shape.

    Zero, numbers below 2**-140 and float32 subnormals give -140 bits. Non-finite input gives a
    meaningless number: mask it with ``numpy.isfinite``.
    """
    if values.dtype == np.float32:
        lead = (np.ascontiguousarray(values).view(np.int32) >> 9) & 0x3FFFFF
        fixed = _CURVE.take(lead & (ONE_BIT - 1))
        fixed += lead - (127 << FRACTION_BITS)
        fixed[lead < ONE_BIT] = FLOOR
        return fixed
    wide = (np.ascontiguousarray(values).view(np.int64) >> 38) & 0x1FFFFFF
    lead = wide.astype(np.int32)
    fixed = _CURVE.take(lead & (ONE_BIT - 1))
    fixed += lead - (1023 << FRACTION_BITS)
    return np.maximum(fixed, FLOOR)


@cache
def log2_bits(threshold: float) -> int:
    """The base-2 logarithm of a threshold, rounded as ``log2_fixed`` does: equal is not below."""
    return int(log2_fixed(np.array([threshold]))[0])
