"""Reads protobuf messages field by field, without knowing their schema; pure.

Enough for the few fields that event files and offline runs need, so that a machine that only has
the logs needs neither TensorBoard nor protobuf.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias

Value: TypeAlias = int | bytes  # a varint, or the bytes of anything else

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}


class DamagedError(ValueError):
    """Bytes that are not what they should be."""


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """The number and the value of each field, in their order.

    Raises:
        DamagedError: it is no message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        size = _SIZES.get(kind)
        if kind == _BYTES:
            size, at = _varint(message, at)
        if size is None or at + size > len(message):
            raise DamagedError("a protobuf message is cut short or no message")
        yield number, message[at : at + size]
        at += size


def parts(message: bytes, number: int) -> Iterator[bytes]:
    """The values of one field that holds messages, text or packed numbers."""
    return (value for key, value in fields(message) if key == number and isinstance(value, bytes))


def text(message: bytes, number: int) -> str:
    """A field of text; empty if it is absent."""
    return next((part.decode("utf-8", "replace") for part in parts(message, number)), "")


def signed(value: Value) -> int:
    """A varint as the int64 it stands for."""
    if isinstance(value, bytes):
        raise DamagedError("a protobuf field is of another type")
    return value - 2**64 if value >= 2**63 else value


def real(value: Value) -> float:
    """A fixed-width field as the float or double it stands for."""
    if not isinstance(value, bytes) or len(value) not in (4, 8):
        raise DamagedError("a protobuf field is of another type")
    return float(struct.unpack("<f" if len(value) == 4 else "<d", value)[0])


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 2**64 - 1, at
        shift += 7
    raise DamagedError("a protobuf message is cut short")
