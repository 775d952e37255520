"""Counts every request: how long it took, by the template of its route and its status."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradwatch_service.api.operations import EVENTS, PREFIX

ELSEWHERE = "(none)"  # no route: whatever path was asked for, it is one label
OTHER = "OTHER"
OK = 200
_KNOWN = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Metering:
    """ASGI middleware, around all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; count it when it is answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, seconds = perf_counter(), 0, 0.0

        async def noting(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], perf_counter() - begun
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            is_endless = status == OK and scope["path"] == EVENTS  # it took until it began
            _count(scope, status, seconds if is_endless else perf_counter() - begun)


def _count(scope: Scope, status: int, seconds: float) -> None:
    """0 is the status of who went away before there was an answer."""
    backend: Any = scope["app"].state.backend
    method = scope["method"] if scope["method"] in _KNOWN else OTHER
    backend.meters.request(method, _template(scope), status)(seconds)


def _template(scope: Scope) -> str:
    """The path of the route; routers that were included leave out the prefix."""
    path: str = getattr(scope.get("route"), "path", ELSEWHERE)
    if path is ELSEWHERE or path.startswith(PREFIX) or not scope["path"].startswith(PREFIX):
        return path
    return PREFIX + path
