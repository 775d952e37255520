"""Requests of one job, one after the other, from prepared parts: sending costs next to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgpack
import numpy as np

from benchmarks.load.courses import Course
from gradwatch_service.domain import LayerTable

Parts = Sequence[bytes | memoryview]

KEEP_ALIVE = "Host: 127.0.0.1\r\nConnection: keep-alive\r\n"


class Stream(Protocol):
    """What a connection sends: the same request again until it is acknowledged."""

    @property
    def floats(self) -> int:
        """Values in each request."""

    @property
    def sent(self) -> int:
        """Requests acknowledged so far."""

    def parts(self) -> Parts | None:
        """The next request, None at the end."""

    def acknowledged(self) -> None:
        """Go on to the next."""


class Frames:
    """The bodies of a course's frames, shared by all runs that report it."""

    def __init__(self, course: Course, table: LayerTable, batch: int) -> None:
        self.batch = batch
        self.floats = batch * course.values_a_step
        self.count = len(course.steps) // batch
        header = _bin_header(8 * batch)
        columns = [
            (b"\x85" + _packed("steps"), course.steps),
            (_packed("time"), course.time),
            *((_packed(name), values) for name, values in course.scalars.items()),
        ]
        self._columns = [
            (key + header, memoryview(values.view(np.uint8))) for key, values in columns
        ]
        first, _ = self._columns[2]
        begin = _packed("scalars") + msgpack.Packer().pack_map_header(len(course.scalars))
        self._columns[2] = (begin + first, self._columns[2][1])
        self._layers = layer_sections(course, table, batch)
        self.body_bytes = sum(len(part) for part in self.body(0))

    def body(self, seq: int) -> list[bytes | memoryview]:
        """The parts of a frame's body."""
        part = slice(8 * seq * self.batch, 8 * (seq + 1) * self.batch)
        parts: list[bytes | memoryview] = []
        for key, values in self._columns:
            parts += key, values[part]
        parts.append(self._layers[seq % len(self._layers)])
        return parts


class FrameStream:
    """The frames of one run on the fast path."""

    def __init__(self, run: str, frames: Frames) -> None:
        self.run = run
        self.sent = 0
        self.floats = frames.floats
        self._frames = frames
        self._path = f"PUT /api/v1/runs/{run}/writers/w0/frames/"
        self._tail = (
            f" HTTP/1.1\r\n{KEEP_ALIVE}Content-Type: application/msgpack\r\n"
            f"Content-Length: {frames.body_bytes}\r\n\r\n"
        )

    def parts(self) -> Parts | None:
        """The next frame, None at the end of the course."""
        if self.sent == self._frames.count:
            return None
        return [f"{self._path}{self.sent}{self._tail}".encode(), *self._frames.body(self.sent)]

    def acknowledged(self) -> None:
        """Go on to the next frame."""
        self.sent += 1


def layer_sections(course: Course, table: LayerTable, batch: int) -> list[bytes]:
    """The end of a packed frame, from ``layers_hash`` on, for every frame of a cycle."""
    head = _packed("layers_hash") + _packed(table.hash) + _packed("layers")
    cycle = len(next(iter(course.layers.values())))
    return [
        head
        + _packed({name: block[at : at + batch].tobytes() for name, block in course.layers.items()})
        for at in range(0, cycle - batch + 1, batch)
    ]


def _packed(value: object) -> bytes:
    return bytes(msgpack.packb(value))


def _bin_header(length: int) -> bytes:
    return _packed(bytes(length))[:-length]
