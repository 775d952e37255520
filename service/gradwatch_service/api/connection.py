"""One HTTP connection: uvicorn's, with deadlines and limits for callers who take their time.

uvicorn waits for ever for the end of a request's head, for a body that nobody reads, and for a
caller to take its answer. Here each of them has a deadline, and a head has a size.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gradwatch_service.api.operations import LIVE
from gradwatch_service.api.problems import problem
from gradwatch_service.errors import HeadTooLarge, ServiceError, TooSlow, Unreadable
from gradwatch_service.settings import Settings

HEAD_BYTES_MAX = 2**16
HEADERS_MAX = 100
PIPELINED_MAX = 16
# After the deadline of a body: for the answer that says so to be sent.
LAST_WORD_SECONDS = 1.0
BUSY_SECONDS = 1.0
# A caller takes this much of an answer, or the rest of it, within the deadline of answers.
TAKE_BYTES = 2**16


class Connection(HttpToolsProtocol):
    """What uvicorn makes for each caller."""

    def __init__(self, *, settings: Settings, **given: Any) -> None:
        super().__init__(**given)
        self._head_seconds = settings.header_deadline_seconds
        self._body_seconds = settings.body_deadline_seconds + LAST_WORD_SECONDS
        self._taking_seconds = settings.answer_deadline_seconds
        self._refusal: ServiceError | None = None
        self._messages = 0
        self._overhead = 0  # bytes that were no body, and may be kept somewhere
        # The message that is to come, and how long it may take; what the timer is set for.
        self._awaited: tuple[int, float] | None = None
        self._timed: tuple[int, float] | None = None
        self._arrival: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        self._time()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._awaited = None
        self._time()
        self._watch_taking(is_needed=False)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        if self._awaited is None:
            self._await_head()
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(_head_too_large())
        if self._awaited != self._timed:
            self._time()

    @override
    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINED_MAX:
            raise self._refused(HeadTooLarge("too many requests on one connection: await answers"))
        super().on_message_begin()
        self._messages += 1
        self._overhead = min(self._overhead, HEAD_BYTES_MAX)
        self._awaited = (self._messages, self._head_seconds)

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= HEADERS_MAX:
            raise self._refused(_head_too_large())
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > (
            HEAD_BYTES_MAX
        ):
            raise self._refused(_head_too_large())
        self._awaited = (self._messages, self._body_seconds)
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._awaited = None
        self._overhead = 0
        super().on_message_complete()

    @override
    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_taking(is_needed=self._unsent > 0)

    @override
    def shutdown(self) -> None:
        """Answers without an end end now: uvicorn waits for those under way."""
        if LIVE in self.app_state:
            self.app_state[LIVE].close()
        super().shutdown()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_taking(is_needed=True)

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch_taking(is_needed=not self._is_busy and self._unsent > 0)

    @override
    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls when the parser fails, also for what was refused in its callbacks."""
        self._refuse(self._refusal or Unreadable("this is not HTTP"))

    @property
    def _is_busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self.cycle) and not self.cycle.response_complete

    @property
    def _unsent(self) -> int:
        return self.transport.get_write_buffer_size()

    def _await_head(self) -> None:
        self._awaited = (self._messages + 1, self._head_seconds)

    def _time(self) -> None:
        """Set the timer for what is awaited now."""
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        self._timed = self._awaited
        if self._timed is not None:
            self._arrival = self.loop.call_later(self._timed[1], self._overdue)

    def _overdue(self) -> None:
        if self._timed != (self._messages, self._body_seconds):
            if self._is_busy:  # the next request is not read before this one is answered
                self._arrival = self.loop.call_later(BUSY_SECONDS, self._overdue)
            elif not self.transport.is_closing():
                self._refuse(TooSlow(f"the head of a request took over {self._head_seconds:g} s"))
        else:
            self.transport.abort()

    def _refused(self, error: ServiceError) -> ServiceError:
        self._refusal = error
        return error

    def _refuse(self, error: ServiceError) -> None:
        if self._is_busy and self.cycle.response_started:  # it can no longer be said
            self.transport.abort()
            return
        answer = problem(error)
        lines = [f"HTTP/1.1 {answer.status_code} {HTTPStatus(answer.status_code).phrase}".encode()]
        lines += [name + b": " + value for name, value in answer.raw_headers]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)]))
        self.transport.close()
        self._watch_taking(is_needed=self._unsent > 0)

    def _watch_taking(self, *, is_needed: bool) -> None:
        """Begin to watch how the caller takes what is written, or cease to."""
        if self._taking is not None:
            self._taking.cancel()
        self._taking = None
        if is_needed:
            self._taking = self.loop.call_later(
                self._taking_seconds, self._check_taking, self._unsent
            )

    def _check_taking(self, unsent_before: int) -> None:
        if self._unsent > unsent_before - TAKE_BYTES and self._unsent:
            self.transport.abort()
        else:
            self._watch_taking(is_needed=self._unsent > 0)


def _head_too_large() -> ServiceError:
    return HeadTooLarge(f"a head is at most {HEAD_BYTES_MAX} bytes in {HEADERS_MAX} headers")
