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
    """What a connection sends: the same request again until it is acknowledged or refused."""

    @property
    def floats(self) -> int:
        """Values in the next request."""

    @property
    def sent(self) -> int:
        """Reports acknowledged so far; most are a request each."""

    def parts(self) -> Parts | None:
        """The next request, None at the end."""

    def acknowledged(self) -> None:
        """Go on to the next."""


class Frames:
    """The bodies of a course's frames, shared by all runs that report it."""

    def __init__(self, course: Course, table: LayerTable, batch: int) -> None:
        self.batch = batch
        self.floats = batch * course.shape.values
        self.steps = len(course.steps)
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

    def body(self, step: int) -> list[bytes | memoryview]:
        """The parts of the body of the frame that begins with this step."""
        part = slice(8 * step, 8 * (step + self.batch))
        parts: list[bytes | memoryview] = []
        for key, values in self._columns:
            parts += key, values[part]
        parts.append(self._layers[step // self.batch % len(self._layers)])
        return parts


class FrameStream:
    """The frames of one run on the fast path, from a step and a frame's number on."""

    def __init__(self, run: str, frames: Frames, step: int = 0, seq: int = 0) -> None:
        self.sent = 0
        self._step, self._seq = step, seq
        self.floats = frames.floats
        self._frames = frames
        self._path = f"PUT /api/v1/runs/{run}/writers/w0/frames/"
        self._tail = (
            f" HTTP/1.1\r\n{KEEP_ALIVE}Content-Type: application/msgpack\r\n"
            f"Content-Length: {frames.body_bytes}\r\n\r\n"
        )

    def parts(self) -> Parts | None:
        """The next frame, None at the end of the course."""
        step = self._step + self.sent * self._frames.batch
        if step + self._frames.batch > self._frames.steps:
            return None
        head = f"{self._path}{self._seq + self.sent}{self._tail}"
        return [head.encode(), *self._frames.body(step)]

    def acknowledged(self) -> None:
        """Go on to the next frame."""
        self.sent += 1


class Turns:
    """Many streams on one connection, each in its turn, until one of them ends."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self.floats = streams[0].floats
        self.sent = 0
        self._streams = streams

    def parts(self) -> Parts | None:
        """The next request of the stream whose turn it is."""
        return self._streams[self.sent % len(self._streams)].parts()

    def acknowledged(self) -> None:
        """The next stream's turn."""
        self._streams[self.sent % len(self._streams)].acknowledged()
        self.sent += 1


class Posts:
    """Bodies for one path, each sent once."""

    floats = 0

    def __init__(self, path: str, bodies: Sequence[bytes], headers: str) -> None:
        self.sent = 0
        self._begin = f"POST {path} HTTP/1.1\r\n{KEEP_ALIVE}{headers}"
        self._bodies = bodies

    def parts(self) -> Parts | None:
        """The next body, None after the last."""
        if self.sent == len(self._bodies):
            return None
        body = self._bodies[self.sent]
        return [f"{self._begin}Content-Length: {len(body)}\r\n\r\n".encode(), body]

    def acknowledged(self) -> None:
        """Go on to the next body."""
        self.sent += 1


def layer_sections(course: Course, table: LayerTable, batch: int) -> list[bytes]:
    """The end of a packed frame, from ``layers_hash`` on, for every frame of a cycle."""
    head = _packed("layers_hash") + _packed(table.hash) + _packed("layers")
    return [
        head
        + _packed({name: block[at : at + batch].tobytes() for name, block in course.layers.items()})
        for at in range(0, course.shape.cycle - batch + 1, batch)
    ]


def _packed(value: object) -> bytes:
    return bytes(msgpack.packb(value))


def _bin_header(length: int) -> bytes:
    return _packed(bytes(length))[:-length]
