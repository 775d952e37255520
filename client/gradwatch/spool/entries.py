"""The format of a spool file: after a magic, entries of length, CRC-32, kind and payload; pure."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from gradwatch.values import JsonValue

MAGIC = b"gradwatch spool 1\n"

_HEAD = struct.Struct("<IIB")
_FRAME = struct.Struct("<IB")
_NUMBER = struct.Struct("<Q?Q")

Read = Callable[[int, int], bytes]  # offset, length -> what is there, less at the end


class Kind(IntEnum):
    """What an entry does to the queue."""

    INTRO = 1  # who writes, for whom: JSON
    TABLE = 2  # a layer table: its hash, its layers as JSON, deflated
    MET = 3  # the service knows this launch
    FRAME = 4  # a frame joins the end
    NUMBER = 5  # the next number, whether it may be taken, how many frames are settled in all
    SPLIT = 6  # these frames stand in for the first
    FINISH = 7  # the run ends here: JSON


class DamagedError(Exception):
    """A file is no spool, or not what it was."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An encoded frame: its bytes, how many records it holds, and the hash of its layer table."""

    body: bytes
    records: int
    table: str


@dataclass(frozen=True, slots=True)
class Position:
    """Where a writer is: what ``NUMBER`` holds."""

    seq: int = 0
    doubtful: bool = False
    settled: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, and where it begins and ends."""

    kind: Kind
    payload: bytes
    at: int
    end: int


def pack(kind: Kind, payload: bytes = b"") -> bytes:
    """An entry as it stands in the file; its kind is the seed of its checksum."""
    return _HEAD.pack(len(payload), zlib.crc32(payload, kind), kind) + payload


def scan(read: Read, at: int = len(MAGIC)) -> Iterator[Entry]:
    """The entries from an offset on, up to the first that is torn or damaged."""
    while len(head := read(at, _HEAD.size)) == _HEAD.size:
        length, checksum, number = _HEAD.unpack(head)
        payload = read(at + _HEAD.size, length)
        whole = len(payload) == length and zlib.crc32(payload, number) == checksum
        if not whole or number not in _KINDS:
            return
        end = at + _HEAD.size + length
        yield Entry(Kind(number), payload, at, end)
        at = end


def pack_frame(frame: Frame) -> bytes:
    """The payload of FRAME."""
    table = frame.table.encode()
    return _FRAME.pack(frame.records, len(table)) + table + frame.body


def read_frame(payload: bytes) -> Frame:
    """The frame in a payload of FRAME."""
    records, length = _FRAME.unpack_from(payload)
    begin = _FRAME.size + length
    return Frame(payload[begin:], records, payload[_FRAME.size : begin].decode())


def pack_split(frames: list[Frame]) -> bytes:
    """The payload of SPLIT."""
    return b"".join(pack(Kind.FRAME, pack_frame(frame)) for frame in frames)


def read_split(payload: bytes) -> list[Frame]:
    """The frames in a payload of SPLIT."""
    entries = scan(lambda at, length: payload[at : at + length], 0)
    return [read_frame(entry.payload) for entry in entries]


def pack_position(position: Position) -> bytes:
    """The payload of NUMBER."""
    return _NUMBER.pack(position.seq, position.doubtful, position.settled)


def read_position(payload: bytes) -> Position:
    """The position in a payload of NUMBER."""
    return Position(*_NUMBER.unpack(payload))


def pack_table(table: str, layers: list[JsonValue]) -> bytes:
    """The payload of TABLE."""
    return table.encode() + b"\n" + zlib.compress(_json(layers), 1)


def read_table_hash(payload: bytes) -> str:
    """The hash in a payload of TABLE."""
    return payload.partition(b"\n")[0].decode()


def read_table(payload: bytes) -> list[JsonValue]:
    """The layers in a payload of TABLE."""
    layers: list[JsonValue] = json.loads(zlib.decompress(payload.partition(b"\n")[2]))
    return layers


def pack_object(body: dict[str, JsonValue]) -> bytes:
    """The payload of INTRO and FINISH."""
    return _json(body)


def read_object(payload: bytes) -> dict[str, JsonValue]:
    """The object in a payload of INTRO or FINISH."""
    body = json.loads(payload)
    return body if isinstance(body, dict) else {}


def _json(value: JsonValue) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_KINDS = frozenset(Kind)
