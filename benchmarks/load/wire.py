"""Connections that send prepared requests as fast as they are answered, and a meter for them."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import uvloop

from benchmarks.load.processes import Usage, usage
from benchmarks.load.streams import Parts, Stream

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
PATIENCE_SECONDS = 90.0
START_SECONDS = 120.0
TOO_MANY = 429


@dataclass
class Meter:
    """What was answered while it counts."""

    seconds: float = 0.0
    floats: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    statuses: Counter[int] = field(default_factory=Counter)
    refusal: str = ""
    spent: Usage = field(default_factory=Usage)


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request of its stream is under way at a time.

    A report of several requests is sent to its end, and its latency is that of all of them.
    """

    def __init__(self, stream: Stream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._answer = b""
        self._sent = 0.0
        self.begun = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()

    def itself(self) -> Connection:
        """What makes the protocol of a new connection: there is one already."""
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer = self._answer + data if self._answer else data
        status = complete(self._answer)
        if status:
            self._heard(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(exc)
        self._note_begin()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._write(None if self._clock.stopped else self._stream.parts())

    def _write(self, parts: Parts | None) -> None:
        if parts is None:
            self._transport.close()
        else:
            self._transport.writelines(parts)

    def _heard(self, status: int) -> None:
        meter, before = self._clock.meter, self._stream.sent
        meter.statuses[status] += 1
        if status < 300:
            meter.floats += self._stream.floats
            self._stream.acknowledged()
        elif not meter.refusal:
            meter.refusal = self._answer.decode(errors="replace")
        self._answer = b""
        if status < 300 and self._stream.sent == before:
            self._write(self._stream.parts())
            return
        meter.latencies.append(time.perf_counter() - self._sent)
        if self._stream.sent == self._clock.start:
            self._note_begin()
        if is_final(status):
            self._transport.close()
        else:
            self._send()

    def _note_begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)


def is_final(status: int) -> bool:
    """Whether the same request will never be taken."""
    return 400 <= status < 500 and status != TOO_MANY


def complete(answer: bytes) -> int:
    """The status of an HTTP answer with a length, 0 while some of it is missing."""
    head, end, body = answer.partition(_END_OF_HEAD)
    if not end:
        return 0
    found = _LENGTH.search(head)
    return int(answer[9:12]) if len(body) >= (int(found[1]) if found else 0) else 0


@dataclass
class Clock:
    """Says when to stop, which meter counts now, and when a connection has begun."""

    meter: Meter = field(default_factory=Meter)
    stopped: bool = False
    start: int = 0


@dataclass(frozen=True)
class Span:
    """Measure for so many ``seconds``, after as many of ``warmup``.

    That begins when ``start`` reports of every stream are acknowledged, or after 120 s.
    """

    seconds: float
    warmup: float = 0.0
    start: int = 0


def drive(port: int, streams: Sequence[Stream], span: Span, pids: Sequence[int]) -> Meter:
    """Send for this long, one connection a stream; what comes before does not count."""
    return uvloop.run(_drive(port, streams, span, pids))


async def _drive(port: int, streams: Sequence[Stream], span: Span, pids: Sequence[int]) -> Meter:
    clock, loop = Clock(start=span.start), asyncio.get_running_loop()
    begun, before = time.perf_counter(), usage(pids)
    connections = [Connection(stream, clock) for stream in streams]
    for one in connections:
        await loop.create_connection(one.itself, "127.0.0.1", port)
    closed = asyncio.gather(*(connection.closed for connection in connections))
    if span.start:
        await _done(asyncio.gather(*(one.begun for one in connections)), START_SECONDS)
    if span.start or span.warmup:
        await _done(closed, span.warmup)
        clock.meter, begun, before = Meter(), time.perf_counter(), usage(pids)
    await _done(closed, span.seconds)
    meter = clock.meter
    meter.seconds, meter.spent = time.perf_counter() - begun, usage(pids) - before
    clock.meter, clock.stopped = Meter(), True
    await asyncio.wait_for(closed, PATIENCE_SECONDS)
    return meter


async def _done(what: asyncio.Future[list[object]], most_seconds: float) -> None:
    await asyncio.wait([what], timeout=most_seconds)
