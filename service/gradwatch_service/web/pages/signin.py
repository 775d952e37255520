"""Where a key becomes a session."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import public
from gradwatch_service.api.backend import Served
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/signin")
@public
def get_signin(request: Request, backend: Served) -> Response:
    """Ask for a key; ``next`` says where to go with it."""
    return page(request, "signin.html", needs_key=backend.settings.needs_key)
