"""The two containers logs come in: TensorFlow's records, and the log of LevelDB that W&B uses."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from gradwatch.history.wire import DamagedError

_MASK_DELTA = 0xA282EAD8
_LENGTH = struct.Struct("<QI")
_CHECKSUM_BYTES = 4

_WANDB_MAGIC = b":W&B"
_WANDB_HEADER_BYTES = 7
_BLOCK_BYTES = 1 << 15
_RECORD = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4


def tensorflow_records(content: bytes) -> Iterator[bytes]:
    """The records of an event file; one that is still being written ends with the last whole one.

    Raises:
        DamagedError: a checksum does not fit.
    """
    at = 0
    while at + _LENGTH.size <= len(content):
        size, checksum = _LENGTH.unpack_from(content, at)
        if _masked(crc32c(content[at : at + 8])) != checksum:
            raise DamagedError(f"no record at byte {at}")
        start, at = at + _LENGTH.size, at + _LENGTH.size + size + _CHECKSUM_BYTES
        if at > len(content):
            return
        record = content[start : start + size]
        if _masked(crc32c(record)) != int.from_bytes(content[at - _CHECKSUM_BYTES : at], "little"):
            raise DamagedError(f"the record at byte {start} is damaged")
        yield record


def wandb_records(content: bytes) -> Iterator[bytes]:
    """The records of an offline run; one that was cut off ends with the last whole one.

    Raises:
        DamagedError: it is no such file, or a checksum does not fit.
    """
    if content[:4] != _WANDB_MAGIC:
        raise DamagedError("this is no offline run of W&B")
    at, whole = _WANDB_HEADER_BYTES, b""
    while at + _RECORD.size <= len(content):
        left = _BLOCK_BYTES - at % _BLOCK_BYTES
        if left < _RECORD.size:
            at += left
            continue
        checksum, size, kind = _RECORD.unpack_from(content, at)
        start, at = at + _RECORD.size, at + _RECORD.size + size
        if at > len(content):
            return
        piece = content[start:at]
        if zlib.crc32(bytes([kind]) + piece) != checksum:
            raise DamagedError(f"the record at byte {start} is damaged")
        whole = piece if kind in (_FULL, _FIRST) else whole + piece
        if kind in (_FULL, _LAST):
            yield whole


def crc32c(data: bytes) -> int:
    """The checksum of Castagnoli, which the standard library lacks."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(crc: int) -> int:
    return (crc >> 15 | crc << 17) + _MASK_DELTA & 0xFFFFFFFF


def _entry(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


_TABLE = tuple(map(_entry, range(256)))
