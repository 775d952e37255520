"""Turns whatever a job hands over into plain numbers, names and JSON, without ever raising."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from typing import Any, SupportsFloat, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
Float32Array: TypeAlias = NDArray[np.float32]
Number: TypeAlias = SupportsFloat | SupportsIndex | str | None
JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

# "Not measured" is a NaN with the payload 1954, so that a reported NaN stays a NaN.
MISSING32_BITS = 0x7FC007A2
MISSING64_BITS = 0x7FF800F440000000
MAX_STEP = 2**53 - 1
MAX_NAME_BYTES = 512
MAX_DEPTH = 16
MAX_ARRAY = 1000
MAX_TEXT = 4096

_FLOAT32_MAX = np.finfo(np.float32).max
# What a foreign object may raise when it is asked for a number or for its text.
UNREADABLE = (TypeError, ValueError, OverflowError, RuntimeError, AttributeError)


def missing32(*shape: int) -> Float32Array:
    """An array of the given shape in which nothing was measured."""
    return np.full(shape, MISSING32_BITS, np.uint32).view(np.float32)


def missing64(*shape: int) -> FloatArray:
    """The same in 64 bits."""
    return np.full(shape, MISSING64_BITS, np.uint64).view(np.float64)


def as_float(value: Number) -> float | None:
    """The number in ``value`` (Python, numpy or a one-element tensor); None if there is none."""
    try:
        detach = getattr(value, "detach", None)  # of a tensor, else it warns about its gradient
        plain: Any = value if detach is None else detach()
        return float(plain)
    except UNREADABLE:
        return None


def as_step(value: SupportsIndex | None) -> int | None:
    """A step number in 0 … 2^53 - 1; None if ``value`` is not one."""
    index: Any = value
    try:
        step = operator.index(index)
    except UNREADABLE:
        return None
    return step if 0 <= step <= MAX_STEP else None


def is_name(name: object) -> bool:
    """Whether the service accepts this name: 1 to 512 bytes of UTF-8 without control characters."""
    return isinstance(name, str) and _is_name(name)


@functools.lru_cache(maxsize=8192)
def _is_name(name: str) -> bool:
    return name.isprintable() and 0 < len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES


def narrow(values: FloatArray) -> Float32Array:
    """The values in 32 bits: what was finite stays finite, what was missing stays missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        small = values.astype(np.float32)
    infinite = np.isinf(small)
    if infinite.any():
        too_big = infinite & np.isfinite(values)
        small[too_big] = np.copysign(_FLOAT32_MAX, values[too_big])
    return small


def global_norm(norms: Float32Array) -> float:
    """Root of the sum of squares in 64 bits; NaN or infinite as soon as one norm is."""
    measured = norms[norms.view(np.uint32) != MISSING32_BITS].astype(np.float64)
    return math.sqrt(np.add.reduce(measured * measured))


def has_nonfinite(values: Float32Array) -> bool:
    """Whether something was measured as NaN or infinite."""
    finite = np.isfinite(values)
    return not finite.all() and bool((values[~finite].view(np.uint32) != MISSING32_BITS).any())


def as_json(value: object, depth: int = 0) -> JsonValue:
    """``value`` as JSON: non-finite numbers as strings, foreign objects as their text."""
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {_text(key): as_json(item, depth + 1) for key, item in value.items()}
    if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
        return [as_json(item, depth + 1) for item in value]
    if isinstance(value, np.ndarray) and value.size <= MAX_ARRAY:
        return as_json(value.tolist(), depth)
    return _json_leaf(value)


def _json_leaf(value: object) -> JsonValue:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | np.integer):
        return int(value) if abs(int(value)) <= MAX_STEP else str(value)
    if isinstance(value, float | np.floating):
        return _json_float(float(value))
    return _text(value)


def _json_float(value: float) -> JsonValue:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(value: object) -> str:
    try:
        return _encodable(str(value)[:MAX_TEXT])
    except UNREADABLE:
        return type(value).__name__


def _encodable(text: str) -> str:
    """The text as UTF-8 and every database can hold it: no lone surrogate, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
