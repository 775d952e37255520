"""The page of one alert: everything of it, and what happened before."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnAlert
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.alert_views import in_full, run_of
from gradwatch_service.api.backend import Served
from gradwatch_service.notify.silencing import labels_of
from gradwatch_service.store import alert_past, alerts, channels, runs, silences
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json
from gradwatch_service.web.alert_list import Reader
from gradwatch_service.web.alert_story import (
    attempts_at,
    covering_ever,
    steps_around,
    story,
)
from gradwatch_service.web.pages.alerts import seen
from gradwatch_service.web.rendering import page

router = APIRouter(include_in_schema=False)

EARLIER = 10


@router.get("/alerts/{alert_id}")
@allows(READ, of=Owner.ALERT)
def get_alert(request: Request, alert_id: OwnAlert, backend: Served, who: Who) -> Response:
    """Show one alert."""
    with backend.reading() as connection:
        run_id = run_of(alerts.get_alert(connection, alert_id))
    backend.judged(run_id)
    now = backend.clock()
    with backend.reading() as connection:
        full = in_full(connection, alert_id, now)
        reader = Reader(connection, who.project, now)
        (row,) = reader.rows([full])
        context = {
            "alert": row,
            "run": runs.get_run(connection, run_id),
            "story": _story(connection, full),
            "earlier": _earlier(reader, full),
            "steps": steps_around(full),
        }
    return page(request, "alert.html", **context, **seen(who, now))


def _story(connection: Connection, alert: Json) -> Any:
    run_id, project = run_of(alert), str(alert["project"])
    run = runs.get_run(connection, run_id)
    known = silences.of_project(connection, project)
    covering = covering_ever(known, labels_of(alert, run), str(alert["opened_at"]))
    names = {
        one.channel_id: f"{one.name} ({one.kind})"
        for one in channels.of_project(connection, project)
    }
    told = alert_past.told(connection, run_id, str(alert["id"]))
    return story(alert["history"], covering, told, names)  # type: ignore[arg-type]


def _earlier(reader: Reader, alert: Json) -> list[Json]:
    """The alerts of the same cause that the project had before, and what was done about each."""
    ids = alert_past.earlier(reader.connection, alert, EARLIER)
    found = alerts.list_alerts(reader.connection, AlertFilters(ids=ids), None, EARLIER).items
    done = alert_past.actions(reader.connection, [run_of(one) for one in found])
    return [
        {**row, "done": (*attempts_at(done.get(run_of(row), ()), row),)}
        for row in reader.rows(found)
    ]
