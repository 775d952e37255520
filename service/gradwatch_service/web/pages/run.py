"""The page of one run, and the parts of it that are exchanged while it is open."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnRun, sees_run
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.errors import NotFound
from gradwatch_service.store import acts as people
from gradwatch_service.store import alerts, events, handed, runs, transitions
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json
from gradwatch_service.web import run_story
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)

MOST_ALERTS = 200
MOST_EVENTS = 500


@router.get("/runs/{run_id}")
@allows(READ, of=Owner.RUN)
def get_run(run_id: OwnRun, request: Request, backend: Served, who: Who) -> Response:
    """Show one run; ``?with=`` compares it with another."""
    context = _context(run_id, backend, who)
    other = _other(request.query_params.get("with"), backend, who)
    differing = [] if other is None else run_story.differing(context["run"], other)
    return page(request, "run.html", **context, other=other, differing=differing)


@router.get("/runs/{run_id}/parts")
@allows(READ, of=Owner.RUN)
def get_parts(run_id: OwnRun, request: Request, backend: Served, who: Who) -> Response:
    """The parts of the page that change with the run and its alerts."""
    return page(request, "run_parts.html", **_context(run_id, backend, who))


def _context(run_id: uuid.UUID, backend: Backend, who: Principal) -> dict[str, Any]:
    backend.judged(run_id)
    with backend.reading() as connection:
        run: run_story.Json = runs.get_run(connection, run_id)
        filters = AlertFilters(run_id=run_id)
        found = alerts.list_alerts(connection, filters, limit=MOST_ALERTS).items
        ranked = [_with_past(connection, run_id, one) for one in run_story.ranked(found)]
        said = events.list_events(connection, run_id, limit=MOST_EVENTS).items[::-1]
        wishes = handed.of_run(connection, run_id)
        newest = {**run, "last_step": handed.newest_step(connection, run_id)}
    titles = {item["id"]: item["title"] for alert in ranked for item in alert["advice"]}
    stories, own_deeds = run_story.told(ranked, run_story.deeds(said, titles))
    return {
        "run": run,
        "newest": newest,
        "alerts": ranked,
        "events": said,
        "wishes": wishes,
        "stories": stories,
        "own_deeds": own_deeds,
        "verdict": run_story.verdict(run, ranked),
        "progress": run_story.progress(run),
        "config": run_story.flat(run["config"]),
        "handing": run_story.handing,
        "promise": run_story.promise,
        "headline": run_story.headline,
        "was_open_at_the_end": run_story.was_open_at_the_end,
        "may_act": ADMIN in who.scopes,
    }


def _with_past(connection: Connection, run_id: uuid.UUID, alert: run_story.Json) -> dict[str, Any]:
    """An alert with what happened to it, the newest first."""
    alert_id = uuid.UUID(str(alert["id"]))
    past = [
        *transitions.of_alert(connection, run_id, alert_id),
        *people.history(connection, run_id, alert_id),
    ]
    return {**alert, "history": sorted(past, key=lambda one: str(one["at"]), reverse=True)}


def _other(wanted: str | None, backend: Backend, who: Principal) -> Json | None:
    """The run to compare with.

    Raises:
        NotFound: there is none of this id for the one who asks.
    """
    if not wanted:
        return None
    try:
        run_id = uuid.UUID(wanted)
    except ValueError as error:
        raise NotFound("no such run to compare with") from error
    if not sees_run(run_id, backend, who):
        raise NotFound(f"no run {run_id}")
    with backend.reading() as connection:
        return runs.get_run(connection, run_id)
