"""The short way to the one route that is asked for most by far: right behind the gate.

What lies between the gate and the other routes costs more than this route itself. It raises
``ServiceError`` for the gate to render.
"""

from __future__ import annotations

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Shortcut:
    """ASGI middleware: requests for the route go straight to it, all others on."""

    def __init__(self, app: ASGIApp, route: Route) -> None:
        self._app = app
        self._route = route
        self._methods = route.methods or set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the route or on."""
        if scope["type"] == "http" and scope["method"] in self._methods:
            found = self._route.path_regex.match(scope["path"])
            if found:
                scope["path_params"], scope["route"] = found.groupdict(), self._route
                await self._route.app(scope, receive, send)
                return
        await self._app(scope, receive, send)
