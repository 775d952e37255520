"""Small bodies that unfold to many: gzip and zstd, declared and undeclared, many and nested."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from functools import cache

import zstandard

MIB = 2**20
LEVEL = 19


@cache
def gzip_bomb(mib: int = 1_024) -> bytes:
    """1,028:1, the most deflate can."""
    stream, zeros = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(MIB)
    return b"".join([stream.compress(zeros) for _ in range(mib)] + [stream.flush()])


@cache
def zstd_bomb(mib: int = 1_024, *, declared: bool = True) -> bytes:
    """32,585:1; ``declared``: the frame says how large it becomes."""
    size = mib * MIB if declared else -1
    stream = zstandard.ZstdCompressor(LEVEL, write_content_size=declared).compressobj(size=size)
    zeros = bytes(MIB)
    return b"".join([stream.compress(zeros) for _ in range(mib)] + [stream.flush()])


def lying(frame: bytes) -> bytes:
    """The zstd frame says that it becomes 1 byte larger than nothing."""
    plain = zstandard.get_frame_parameters(frame)
    at = frame.index(plain.content_size.to_bytes(4, "little"))
    return frame[:at] + (1).to_bytes(4, "little") + frame[at + 4 :]


def huge_window() -> bytes:
    """A frame that asks for a window of 128 MiB."""
    size, log = 64 * MIB, 27
    parameters = zstandard.ZstdCompressionParameters(
        window_log=log, compression_level=1, write_content_size=0
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(bytes(size)) + stream.flush()


def empty_blocks() -> bytes:
    """4 MB of stored blocks with nothing in them: much work for no output."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return head + b"\0\0\0\xff\xff" * 800_000


# What is sent, as what, and the answer it must get.
BOMBS: Mapping[str, tuple[str, Callable[[], bytes], int]] = {
    "gzip": ("gzip", gzip_bomb, 413),
    "gzip of 4 MiB on the wire": ("gzip", lambda: gzip_bomb(4_000), 413),
    "zstd that declares its size": ("zstd", zstd_bomb, 413),
    "zstd that does not": ("zstd", lambda: zstd_bomb(declared=False), 413),
    "zstd that lies about its size": ("zstd", lambda: lying(zstd_bomb()), 400),
    "gzip followed by more": ("gzip", lambda: gzip_bomb() + b"more", 413),
    "zstd followed by more": ("zstd", lambda: zstd_bomb() + b"more", 413),
    "gzip cut short": ("gzip", lambda: gzip_bomb()[:-100], 413),
    "many gzip members": ("gzip", lambda: gzip.compress(bytes(2**15)) * 10_000, 400),
    "many zstd frames": ("zstd", lambda: zstandard.compress(bytes(2**15)) * 10_000, 400),
    "many empty zstd frames": ("zstd", lambda: zstandard.compress(b"") * 100_000, 400),
    "skippable zstd frames": ("zstd", lambda: b"\x50\x2a\x4d\x18\0\0\0\0" * 400_000, 400),
    "gzip within gzip": ("gzip", lambda: gzip.compress(gzip_bomb()), 400),
    "zstd within gzip": ("gzip", lambda: gzip.compress(zstd_bomb()), 400),
    "gzip within zstd": ("zstd", lambda: zstandard.compress(gzip_bomb(), LEVEL), 400),
    "zstd of a huge window": ("zstd", huge_window, 400),
    "empty deflate blocks": ("gzip", empty_blocks, 400),
}
