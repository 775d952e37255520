"""The page of the board, and the parts of it that are fetched again when something changes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Principal, Who
from gradwatch_service.api.backend import Served
from gradwatch_service.store import board, projects
from gradwatch_service.web.listing import BoardParameters, BoardQuery, listing, some_rows
from gradwatch_service.web.progress import total_steps
from gradwatch_service.web.rendering import page
from gradwatch_service.web.urgent import urgent

router = APIRouter(include_in_schema=False)


@router.get("/")
@allows(READ, of=Owner.LIST)
def get_board(request: Request, backend: Served, who: Who, asked: BoardQuery) -> Response:
    """Show the board: what fires, then every run."""
    project, now = who.narrow(asked.project), backend.clock()
    with backend.reading() as connection:
        found = _urgent(connection, project, now) | _listing(connection, asked, project, now)
        found |= _choices(connection, who)
    return page(request, "board.html", origin=_origin(request), **found)


@router.get("/board/alerts")
@allows(READ, of=Owner.LIST)
def get_alerts(request: Request, backend: Served, who: Who, asked: BoardQuery) -> Response:
    """Show the open alerts alone."""
    project, now = who.narrow(asked.project), backend.clock()
    with backend.reading() as connection:
        found = _urgent(connection, project, now)
    return page(request, "board_alerts.html", asked=asked, **found)


@router.get("/board/runs")
@allows(READ, of=Owner.LIST)
def get_runs(request: Request, backend: Served, who: Who, asked: BoardQuery) -> Response:
    """Show the list of runs alone."""
    project, now = who.narrow(asked.project), backend.clock()
    with backend.reading() as connection:
        found = _listing(connection, asked, project, now)
    return page(request, "board_runs.html", origin=_origin(request), **found)


@router.get("/board/rows")
@allows(READ, of=Owner.LIST)
def get_rows(request: Request, backend: Served, who: Who, asked: BoardQuery) -> Response:
    """Show the rows of some runs: of those that the filters let through."""
    project, now = who.narrow(asked.project), backend.clock()
    with backend.reading() as connection:
        rows = some_rows(connection, asked, project)
    return page(request, "board_rows.html", rows=rows, asked=asked, now=now, total_of=total_steps)


def _origin(request: Request) -> str:
    """Where the reader reaches the service, as jobs on the same network will."""
    return str(request.base_url).rstrip("/")


def _urgent(connection: Connection, project: str | None, now: dt.datetime) -> dict[str, Any]:
    return {"urgent": urgent(connection, project, now), "now": now}


def _listing(
    connection: Connection, asked: BoardParameters, project: str | None, now: dt.datetime
) -> dict[str, Any]:
    found = listing(connection, asked, project)
    return {"listing": found, "asked": asked, "now": now, "total_of": total_steps}


def _choices(connection: Connection, who: Principal) -> dict[str, Any]:
    """What the filters offer."""
    seen = projects.seen_by(connection, who.project)
    return {
        "projects": [project["name"] for project in seen],
        "tags": board.tags(connection, who.project),
    }
