"""The little of protobuf and Snappy that remote write takes."""

from __future__ import annotations

FIXED64, TEXT = 1, 2  # wire types


def field(number: int, content: bytes) -> bytes:
    """A text or a message within a message."""
    return bytes([number << 3 | TEXT]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def snappy(body: bytes) -> bytes:
    """A valid Snappy block that copies its content: neither side spends time on compression."""
    return varint(len(body)) + b"\xfc" + (len(body) - 1).to_bytes(4, "little") + body
