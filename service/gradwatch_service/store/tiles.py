"""One tile: the values of some columns over some rows, packed so that one column reads fast.

A tile is differenced down its rows as integers (values that drift or stand still become small),
split into its bytes (exponents beside exponents), and compressed with zstd. Every bit survives,
NaN payloads included.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import zstandard
from numpy.typing import NDArray

Values: TypeAlias = NDArray[Any]

LEVEL = 1
WIDTH = 32

_UNSIGNED: dict[int, np.dtype[Any]] = {4: np.dtype("<u4"), 8: np.dtype("<u8")}


class _Codec(threading.local):
    """zstd contexts cannot be shared between threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_codec = _Codec()


def compress(raw: bytes | memoryview) -> bytes:
    """Bytes in zstd, their size noted."""
    return _codec.compressor.compress(raw)


def decompress(body: bytes) -> bytes:
    """The bytes that ``compress`` was given."""
    return _codec.decompressor.decompress(body)


def differences(block: Values) -> Values:
    """Row to row as unsigned integers, the sign in the lowest bit: [n, W] of 4 or 8 bytes each."""
    raw = np.ascontiguousarray(block).view(_UNSIGNED[block.dtype.itemsize])
    steps = raw.copy()
    steps[1:] -= raw[:-1]
    sign = steps >> _top(steps)
    steps <<= steps.dtype.type(1)
    np.negative(sign, out=sign)
    steps ^= sign
    return steps


def encode(steps: Values) -> bytes:
    """The tile of columns of ``differences``, [n, C]."""
    columns = np.ascontiguousarray(steps.T)
    planes = columns.view(np.uint8).reshape(-1, steps.dtype.itemsize).T
    return compress(np.ascontiguousarray(planes).data)


def decode(body: bytes, dtype: np.dtype[Any], rows: int) -> Values:
    """All columns of a tile, [C, n]: each column's values side by side."""
    planes = np.frombuffer(decompress(body), np.uint8).reshape(dtype.itemsize, -1, rows)
    return _summed(planes, dtype)


def decode_columns(body: bytes, dtype: np.dtype[Any], rows: int, columns: Sequence[int]) -> Values:
    """Some columns of a tile, [len(columns), n]."""
    planes = np.frombuffer(decompress(body), np.uint8).reshape(dtype.itemsize, -1, rows)
    return _summed(planes[:, list(columns)], dtype)


def pack(values: Values) -> bytes:
    """A single column, as a tile of its own."""
    return encode(differences(values[:, None]))


def unpack(body: bytes, dtype: np.dtype[Any]) -> Values:
    """The column that ``pack`` was given."""
    raw = np.frombuffer(decompress(body), np.uint8)
    values: Values = _summed(raw.reshape(dtype.itemsize, 1, -1), dtype)[0]
    return values


def _summed(planes: NDArray[np.uint8], dtype: np.dtype[Any]) -> Values:
    columns = np.empty((*planes.shape[1:], dtype.itemsize), np.uint8)
    for place, plane in enumerate(planes):  # three times as fast as one transposed copy
        columns[..., place] = plane
    raw = columns.view(_UNSIGNED[dtype.itemsize])[..., 0]
    one = raw.dtype.type(1)
    sign = raw & one
    np.negative(sign, out=sign)
    raw >>= one
    raw ^= sign
    values: Values = np.add.accumulate(raw, axis=1, dtype=raw.dtype).view(dtype)
    values.flags.writeable = False
    return values


def _top(values: Values) -> Any:
    return values.dtype.type(values.dtype.itemsize * 8 - 1)
