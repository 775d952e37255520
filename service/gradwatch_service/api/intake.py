"""The gate in front of every route: admits, reads and inflates a body, within limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, TypeAlias, cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradwatch_service.api.access.headers import with_headers
from gradwatch_service.api.access.quota import Meter
from gradwatch_service.api.inflation import inflate, is_bomb, too_large
from gradwatch_service.api.operations import EVENTS
from gradwatch_service.api.problems import ENCODINGS, UNSUPPORTED_ENCODING
from gradwatch_service.api.waiting import Deadline
from gradwatch_service.errors import ServiceError, TooLarge, Unavailable, UnsupportedMedia
from gradwatch_service.settings import Settings

Reader: TypeAlias = asyncio.Task[Any]
Admit: TypeAlias = Callable[[Scope], Awaitable[Meter | None]]
Refusal: TypeAlias = Callable[[Scope, ServiceError], ASGIApp]

GUARDED_PREFIXES = ("/api/", "/v1/")  # ours, and that of OpenTelemetry's exporters
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
IDENTITY = "identity"
# A compressed body of which so much has come is looked at before the rest is waited for.
FIRST_LOOK_BYTES = 2**17
CODINGS = frozenset({IDENTITY, *ENCODINGS.split(", ")})


class Load:
    """What this process has taken on and not yet answered."""

    def __init__(self, requests_max: int, bytes_max: int) -> None:
        self._requests_left = requests_max
        self._bytes_left = bytes_max

    def admit(self) -> None:
        """Take one request on, or refuse it."""
        if not self._requests_left:
            raise Unavailable("too many requests at once", code="overloaded")
        self._requests_left -= 1

    def take(self, count: int) -> None:
        """Count body bytes, or refuse them."""
        if count > self._bytes_left:
            raise Unavailable("too many body bytes at once", code="overloaded")
        self._bytes_left -= count

    def give_back(self, count: int) -> None:
        """One request is answered, and all its bytes with it."""
        self._requests_left += 1
        self._bytes_left += count


class Share:
    """One request that was taken on, and the body bytes it holds until it is answered."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.taken = 0

    def __enter__(self) -> Share:
        self._load.admit()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._load.give_back(self.taken)

    def grow_to(self, count: int) -> None:
        """Hold ``count`` bytes in all."""
        if count > self.taken:
            self._load.take(count - self.taken)
            self.taken = count


class Intake:
    """ASGI middleware: routes behind it see one complete, plain body, of whom ``admit`` let in."""

    def __init__(self, app: ASGIApp, settings: Settings, admit: Admit, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal
        self._settings = settings
        self._admit = admit
        self._load = Load(settings.requests_in_flight_max, settings.bytes_in_flight_max)
        self._deadline: Deadline[Reader] = Deadline(settings.body_deadline_seconds, Reader.cancel)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the refusal, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = with_headers(send)
        try:
            if scope["path"].startswith(GUARDED_PREFIXES) and scope["path"] != EVENTS:
                await self._guarded(scope, receive, send)
            else:
                await self._admit(scope)
                await self._app(scope, receive, send)
        except ServiceError as error:
            await self._refusal(scope, error)(scope, receive, send)
        except ClientDisconnect:
            return

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        with Share(self._load) as share:
            meter = await self._admit(scope)
            if scope["method"] in METHODS_WITH_BODY:
                body = await self._body(scope, receive, share, meter)
                receive = _replay(body, receive)
            await self._app(scope, receive, send)

    async def _body(
        self, scope: Scope, receive: Receive, share: Share, meter: Meter | None
    ) -> bytes:
        coding, declared = _announced(scope["headers"])
        if coding not in CODINGS:
            raise UnsupportedMedia(
                f"send the body plain or in one of these encodings, once: {ENCODINGS}",
                code=UNSUPPORTED_ENCODING,
            )
        announced = int(declared) if declared.isdecimal() else 0
        self._judge(announced, share)
        wire = await self._in_time(receive, share, coding)
        if meter is not None and len(wire) > announced:
            meter.charge(len(wire) - announced)
        if coding == IDENTITY:
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

    async def _in_time(self, receive: Receive, share: Share, coding: str) -> bytes:
        reader = cast(Reader, asyncio.current_task())
        self._deadline.watch(reader)
        try:
            return await self._wire(receive, share, coding)
        finally:
            if not self._deadline.met(reader) and not reader.uncancel():
                seconds = self._settings.body_deadline_seconds
                raise Unavailable(f"the body took over {seconds:g} s", code="slow-body")

    async def _wire(self, receive: Receive, share: Share, coding: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        is_to_see = coding != IDENTITY
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            self._judge(size, share)
            if not message.get("more_body", False):
                return b"".join(chunks)
            if is_to_see and size > FIRST_LOOK_BYTES:
                is_to_see = False
                if is_bomb(b"".join(chunks), coding, self._settings.inflated_bytes_max):
                    raise too_large(self._settings.inflated_bytes_max)


def _announced(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str]:
    """How a body is coded, and its first ``Content-Length``."""
    codings, lengths = [], []
    for name, value in headers:
        if name == b"content-encoding":
            codings.append(value.decode("latin-1"))
        elif name == b"content-length":
            lengths.append(value.decode("latin-1"))
    return ",".join(codings).strip().lower() or IDENTITY, lengths[0] if lengths else "0"


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand the body over as one message; then listen to the caller again."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay
