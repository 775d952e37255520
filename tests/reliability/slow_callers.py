"""Callers who take their time: to say what they want, to send it, or to take the answer."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

PAUSE_SECONDS = 0.5
GOOD_PAUSE_SECONDS = 0.02
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Held:
    """For how long the server kept a connection, as far as a caller can know: the server's time
    began between the call for a connection and its coming about."""

    name: str
    seconds_at_least: float
    seconds_at_most: float


@dataclass(frozen=True)
class SlowCaller:
    """Sends the opening, then a bit of the rest again and again, until it is hung up on."""

    name: str
    opening: bytes = b""
    drip: bytes = b""

    async def call(self, port: int) -> Held:
        """Stay until the server hangs up."""
        called = time.monotonic()
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        connected = time.monotonic()
        writer.write(self.opening)
        dripping = asyncio.create_task(self._keep_dripping(writer))
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**16):
                pass
        end = time.monotonic()
        dripping.cancel()
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await dripping
        return Held(self.name, end - connected, end - called)

    async def _keep_dripping(self, writer: asyncio.StreamWriter) -> None:
        while self.drip:
            await asyncio.sleep(PAUSE_SECONDS)
            writer.write(self.drip)
            await writer.drain()


def all_held(port: int, callers: Sequence[SlowCaller]) -> list[Held]:
    """All of them at once: who was kept for how long."""

    async def call() -> list[Held]:
        return await asyncio.gather(*(caller.call(port) for caller in callers))

    return asyncio.run(call())


@dataclass
class GoodCaller:
    """Reports a step again and again meanwhile, and notes how long each answer took."""

    port: int
    path: str
    seconds: list[float] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[99 * (len(self.seconds) - 1) // 100]

    @contextlib.contextmanager
    def calling(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._call, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _call(self, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        headers = {"content-type": "application/json"}
        while not stop.wait(GOOD_PAUSE_SECONDS):
            body = json.dumps({"steps": [{"step": len(self.seconds), "loss": 1.0}]})
            begin = time.monotonic()
            connection.request("POST", self.path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.monotonic() - begin)
            self.statuses.add(answer.status)
        connection.close()
