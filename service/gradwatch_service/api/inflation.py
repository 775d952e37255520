"""Decompression that a bomb cannot hurt: the output is judged while it grows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import zstandard

from gradwatch_service.errors import TooLarge, Unreadable

GZIP_WINDOW = 31  # zlib: 15 bits of window, plus 16 for a gzip header
ZSTD_WINDOW_BYTES_MAX = 2**24
GZIP_SLICE_BYTES = 2**14
# One byte of zstd can become 32 KiB, so slices of this size grow the output by 4 MiB at most.
ZSTD_SLICE_BYTES = 128
OUTPUT_CHUNK_BYTES = 2**16


def inflate(wire: bytes, encoding: str, bytes_max: int) -> bytes:
    """Decompress a body of one gzip member or one zstd frame.

    Args:
        wire: the body as it came.
        encoding: ``gzip`` or ``zstd``.
        bytes_max: what the output may not exceed.

    Raises:
        TooLarge: the output grows past ``bytes_max``.
        Unreadable: the data is damaged, cut short, or followed by something else.
    """
    return b"".join(list(_judged(wire, encoding, bytes_max)))


def is_bomb(start: bytes, encoding: str, bytes_max: int) -> bool:
    """Whether the beginning of a body alone inflates past ``bytes_max``; nothing is kept of it."""
    try:
        for _ in _judged(start, encoding, bytes_max):
            pass
    except TooLarge:
        return True
    except Unreadable:  # it is cut short, of course
        return False
    return False


def too_large(bytes_max: int) -> TooLarge:
    """What is said of a body that inflates past its limit."""
    return TooLarge(
        f"the body inflates past {bytes_max} bytes: send smaller or plainer pushes",
        code="inflates-too-large",
    )


def _judged(wire: bytes, encoding: str, bytes_max: int) -> Iterator[bytes]:
    size = 0
    try:
        for chunk in _gunzip(wire) if encoding == "gzip" else _unzstd(wire):
            size += len(chunk)
            if size > bytes_max:
                raise too_large(bytes_max)
            yield chunk
    except (zlib.error, zstandard.ZstdError) as error:
        raise Unreadable(f"the body is not valid {encoding}") from error


def _gunzip(wire: bytes) -> Iterator[bytes]:
    stream = zlib.decompressobj(GZIP_WINDOW)
    start = 0
    while start < len(wire) and not stream.eof:
        rest = wire[start : start + GZIP_SLICE_BYTES]  # what is left of it is copied each time
        start += GZIP_SLICE_BYTES
        while rest and not stream.eof:
            yield stream.decompress(rest, OUTPUT_CHUNK_BYTES)
            rest = stream.unconsumed_tail
    _refuse_unless_whole(eof=stream.eof, is_last=not stream.unused_data and start >= len(wire))


def _unzstd(wire: bytes) -> Iterator[bytes]:
    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX).decompressobj()
    start = 0
    while start < len(wire) and not stream.eof:
        yield stream.decompress(wire[start : start + ZSTD_SLICE_BYTES])
        start += ZSTD_SLICE_BYTES
    _refuse_unless_whole(eof=stream.eof, is_last=not stream.unused_data and start >= len(wire))


def _refuse_unless_whole(*, eof: bool, is_last: bool) -> None:
    if not eof:
        raise Unreadable("the compressed body is cut short")
    if not is_last:
        raise Unreadable("something follows the compressed body: send one frame or member")
