"""The page of the alerts, and the rows of it that have changed."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gradwatch_service.api.access.ownership import sees_run
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Principal, Who
from gradwatch_service.api.backend import Served
from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue as causes
from gradwatch_service.store import alert_groups, projects, runs
from gradwatch_service.web.alert_list import Reader
from gradwatch_service.web.alert_query import ListAsked, RowsAsked
from gradwatch_service.web.rendering import page
from gradwatch_service.web.since import ago

router = APIRouter(include_in_schema=False)


@router.get("/alerts")
@allows(READ, of=Owner.LIST)
def get_alerts(request: Request, backend: Served, asked: ListAsked, who: Who) -> Response:
    """Show the alerts that are open, or those that were asked for."""
    project = who.narrow(asked.project)
    is_seen = asked.run is not None and sees_run(asked.run, backend, who)
    if asked.run is not None and is_seen:
        backend.judged(asked.run)
    now = backend.clock()
    with backend.reading() as connection:
        listing = Reader(connection, project, now).listing(asked)
        context: dict[str, Any] = {
            "listing": listing,
            "projects": [one["name"] for one in projects.seen_by(connection, who.project)],
            "run": runs.get_run(connection, asked.run) if asked.run and is_seen else None,
            "ended": alert_groups.last_ended(connection, project) if listing.is_empty else None,
        }
    choices: dict[str, Any] = {"rules": [one.id for one in rules()], "causes": causes()}
    return page(request, "alerts.html", asked=asked, **choices, **context, **seen(who, now))


@router.get("/alerts/rows")
@allows(READ, of=Owner.LIST)
def get_rows(request: Request, backend: Served, asked: RowsAsked, who: Who) -> Response:
    """Show some rows of the list as they are now, and how many there are in each state."""
    now = backend.clock()
    with backend.reading() as connection:
        listing = Reader(connection, who.narrow(asked.project), now).some(asked)
    return page(request, "alert_rows.html", asked=asked, listing=listing, **seen(who, now))


def seen(who: Principal, now: dt.datetime) -> dict[str, Any]:
    """What all pages of alerts tell their templates: what may be done, and how long ago is when."""
    return {
        "may_act": ADMIN in who.scopes,
        "is_of_one_project": who.project is not None,
        "ago": partial(ago, now=now),
    }
