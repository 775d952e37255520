"""``GET /events``: what changes about runs and alerts, as server-sent events, for as long as asked.

An event has the object that ``GET /runs/{id}`` or ``GET /alerts`` shows. ``reset`` says that more
has changed than can be told: read your lists anew.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from gradwatch_service.api.access.door import Door
from gradwatch_service.api.access.headers import NOT_KEPT
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.listener import Listener
from gradwatch_service.api.operations import Responses, answers
from gradwatch_service.api.queries import LiveEvents
from gradwatch_service.api.watch import Live
from gradwatch_service.errors import NotFound
from gradwatch_service.store import projects

router = APIRouter(tags=["live"])

MEDIA_TYPE: Final = "text/event-stream"
# A key that is revoked opens nothing 4 s later, and here after this much more.
CHECK_SECONDS: Final = 0.5
HEARTBEAT_SECONDS: Final = 10.0
RETRY: Final = b"retry: 2000\n\n"
HEARTBEAT: Final = b": still here\n"
EXAMPLE: Final = 'id: 1795806000000\nevent: run\ndata: {"id": "…", "health": "critical", …}\n\n'
HEADERS: Final = {**NOT_KEPT, "X-Accel-Buffering": "no"}  # of proxies that collect answers

_RESPONSES: Responses = {
    200: {
        "description": "Events without end: `run`, `alert`, `reset`; a comment every 10 s.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}},
    },
    **answers({}, 404, 422),
}
LastEventId = Annotated[
    str | None, Header(alias="last-event-id", description="the last id that was heard")
]


@router.get("/events", response_class=Response, responses=_RESPONSES)
@allows(READ, of=Owner.LIST)
async def get_events(
    request: Request,
    backend: Served,
    who: Who,
    wanted: LiveEvents,
    last_event_id: LastEventId = None,
) -> Response:
    """Tell, as server-sent events, what changes about runs and alerts from now on.

    `run` and `alert` have what `GET /runs/{id}` and `GET /alerts` show of them now. What people
    wait for is told at once, that a run goes on once a second at most. `reset`: too much has
    changed since the id that was sent: read the lists anew.
    """
    project = who.narrow(wanted.project)
    if wanted.run is not None:
        await run_in_threadpool(_require_run, wanted.run, project, backend, who)
    given = wanted.since if last_event_id is None else last_event_id
    live: Live = request.app.state.live
    listener = live.join(project, wanted.run, _id(given))
    return _Stream(listener, live, request)


def _require_run(run_id: uuid.UUID, project: str | None, backend: Backend, who: Principal) -> None:
    with backend.reading() as connection:
        found = projects.of_run(connection, run_id)
    who.require(found)
    if found is None or project not in {None, found}:
        raise NotFound(f"no run {run_id}")


def _id(text: str | None) -> int | None:
    """0, which is too old, for what is no id of ours."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else 0


class _Stream(StreamingResponse):
    """Sends until the listener is closed, goes away, or may listen no longer."""

    def __init__(self, listener: Listener, live: Live, request: Request) -> None:
        super().__init__(self._text(), headers=HEADERS, media_type=MEDIA_TYPE)
        self._listener = listener
        self._live = live
        self._request = request

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._live.leave(self._listener)

    async def _text(self) -> AsyncIterator[bytes]:
        listener, scope = self._listener, self._request.scope
        door: Door = self._request.app.state.door
        yield RETRY
        now = asyncio.get_running_loop().time
        silent_at = 0.0  # at once, for its first id
        while True:
            await listener.wait(CHECK_SECONDS)
            if listener.is_closed or not await door.still_admits(scope):
                return
            text = listener.take()
            if not text and not listener.is_new and now() >= silent_at:
                text = HEARTBEAT + listener.mark() + b"\n"
            if text:
                silent_at = now() + HEARTBEAT_SECONDS
                yield text
