"""The page of the settings."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.backend import Served
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/settings")
@allows(READ, of=Owner.LIST)
def get_settings(request: Request, backend: Served, who: Who) -> Response:
    """Show the settings."""
    return page(request, "settings.html")
