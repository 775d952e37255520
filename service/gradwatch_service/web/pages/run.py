"""The page of one run."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnRun
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ
from gradwatch_service.api.backend import Served
from gradwatch_service.store import runs
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/runs/{run_id}")
@allows(READ, of=Owner.RUN)
def get_run(run_id: OwnRun, request: Request, backend: Served) -> Response:
    """Show one run."""
    backend.judged(run_id)
    with backend.reading() as connection:
        run = runs.get_run(connection, run_id)
    return page(request, "run.html", run=run)
