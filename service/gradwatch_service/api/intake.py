"""The gate in front of every route: admits, reads and inflates a body, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradwatch_service.api.inflation import inflate
from gradwatch_service.api.problems import ENCODINGS, UNSUPPORTED_ENCODING, problem
from gradwatch_service.errors import ServiceError, TooLarge, Unavailable, UnsupportedMedia
from gradwatch_service.settings import Settings

GUARDED_PREFIX = "/api/"
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
CODINGS = frozenset({"identity", *ENCODINGS.split(", ")})


class Load:
    """What this process has taken on and not yet answered."""

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self._requests_left = requests_max
        self._bytes_left = bytes_max

    @contextmanager
    def admit(self) -> Iterator[Share]:
        """Take one request on, and give back all its share when it is answered."""
        if not self._requests_left:
            raise Unavailable("too many requests at once", code="overloaded")
        self._requests_left -= 1
        share = Share(self)
        try:
            yield share
        finally:
            self._requests_left += 1
            self._bytes_left += share.taken

    def take(self, count: int) -> None:
        """Count body bytes, or refuse them."""
        if count > self._bytes_left:
            raise Unavailable("too many body bytes at once", code="overloaded")
        self._bytes_left -= count


class Share:
    """The body bytes one request holds."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.taken = 0

    def grow_to(self, count: int) -> None:
        """Hold ``count`` bytes in all."""
        if count > self.taken:
            self._load.take(count - self.taken)
            self.taken = count


class Intake:
    """ASGI middleware: routes behind it see one complete, plain body."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._load = Load(settings.requests_in_flight_max, settings.bytes_in_flight_max)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a problem, or pass the request on."""
        if scope["type"] != "http" or not scope["path"].startswith(GUARDED_PREFIX):
            await self._app(scope, receive, send)
            return
        try:
            with self._load.admit() as share:
                if scope["method"] in METHODS_WITH_BODY:
                    receive = _replay(await self._body(scope, receive, share), receive)
                await self._app(scope, receive, send)
        except ServiceError as error:
            await problem(error)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _body(self, scope: Scope, receive: Receive, share: Share) -> bytes:
        headers = Headers(scope=scope)
        coding = _coding(headers)
        declared = headers.get("content-length", "0")
        self._judge(int(declared) if declared.isdecimal() else 0, share)
        wire = await self._wire(receive, share)
        if coding == "identity":
            return wire
        body = inflate(wire, coding, self._inflated_max(len(wire)))
        share.grow_to(len(wire) + len(body))
        return body

    def _inflated_max(self, wire_bytes: int) -> int:
        limits = self._settings
        by_ratio = max(limits.inflation_free_bytes, wire_bytes * limits.inflation_ratio_max)
        return min(limits.inflated_bytes_max, by_ratio)

    def _judge(self, count: int, share: Share) -> None:
        limit = self._settings.body_bytes_max
        if count > limit:
            raise TooLarge(f"the body is over {limit} bytes: split it and send again")
        share.grow_to(count)

    async def _wire(self, receive: Receive, share: Share) -> bytes:
        deadline = self._settings.body_deadline_seconds
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(deadline):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunks.append(message.get("body", b""))
                    size += len(chunks[-1])
                    self._judge(size, share)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise Unavailable(f"the body took over {deadline:g} s", code="slow-body") from error


def _coding(headers: Headers) -> str:
    coding = ",".join(headers.getlist("content-encoding")).strip().lower() or "identity"
    if coding not in CODINGS:
        raise UnsupportedMedia(
            f"send the body plain or in one of these encodings, once: {ENCODINGS}",
            code=UNSUPPORTED_ENCODING,
        )
    return coding


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body over as one message; then listen to the caller again."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
