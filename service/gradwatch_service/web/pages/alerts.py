"""The page of the alerts."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.backend import Served
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/alerts")
@allows(READ, of=Owner.LIST)
def get_alerts(request: Request, backend: Served, who: Who) -> Response:
    """Show the alerts."""
    return page(request, "alerts.html")
