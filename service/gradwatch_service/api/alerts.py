"""Alerts, and what they amount to for one run: ranked advice and the armed guard."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnAlert, OwnRun, sees_run
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import INGEST, READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.queries import AlertList, page
from gradwatch_service.api.shapes import Advice, Alert, GuardBody, Items
from gradwatch_service.store import advice, alerts, runs, writers

router = APIRouter(tags=["alerts"])


@router.get("/alerts", responses=answers({200: Items[Alert]}, 422))
@allows(READ, of=Owner.LIST)
def get_alerts(backend: Served, wanted: AlertList, who: Who) -> Response:
    """List alerts, the newest first."""
    filters = replace(wanted.filters, project=who.narrow(wanted.project))
    if wanted.run is not None and sees_run(wanted.run, backend, who):
        backend.judged(wanted.run)
    with backend.reading() as connection:
        return page(alerts.list_alerts(connection, filters, wanted.cursor, wanted.limit))


@router.get("/alerts/{alert_id}", responses=answers({200: Alert}, 404))
@allows(READ, of=Owner.ALERT)
def get_alert(alert_id: OwnAlert, backend: Served) -> Response:
    """Show one alert."""
    with backend.reading() as connection:
        return answer(alerts.get_alert(connection, alert_id))


@router.get("/runs/{run_id}/advice", responses=answers({200: Items[Advice]}, 404))
@allows(INGEST, READ, of=Owner.RUN)
def get_advice(run_id: OwnRun, backend: Served) -> Response:
    """What to do about the firing alerts of a run, the most urgent first."""
    backend.judged(run_id)
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        kept = alerts.of_runs(connection, [run_id]).get(run_id, {})
    ranked = advice.ranked_advice(alert.body for alert in kept.values())
    return answer({"items": ranked, "next_cursor": None})


@router.get("/runs/{run_id}/guard", responses=answers({200: GuardBody}, 404))
@allows(INGEST, READ, of=Owner.RUN)
def get_guard(run_id: OwnRun, backend: Served) -> Response:
    """The limits the job may apply by itself before an update."""
    backend.judged(run_id)
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        return answer(writers.guard(connection, run_id).as_json())
