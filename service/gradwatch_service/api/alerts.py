"""Alerts, and what they amount to for one run: ranked advice and the armed guard."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnAlert, OwnRun, sees_run
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, INGEST, READ, Principal, Who
from gradwatch_service.api.alert_shapes import AlertWithHistory
from gradwatch_service.api.alert_views import in_full, muted, run_of
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import WordBody, reader
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.queries import AlertList, page
from gradwatch_service.api.shapes import Advice, Alert, GuardBody, Items
from gradwatch_service.diagnose.acts import ActKind
from gradwatch_service.ingest.pushes import Word
from gradwatch_service.store import advice, alerts, handed, runs, writers
from gradwatch_service.store.codec import Page

router = APIRouter(tags=["alerts"])


@router.get("/alerts", responses=answers({200: Items[Alert]}, 404, 422))
@allows(READ, of=Owner.LIST)
def get_alerts(backend: Served, wanted: AlertList, who: Who) -> Response:
    """List alerts, the newest first."""
    filters = replace(wanted.filters, project=who.narrow(wanted.project))
    if wanted.run is not None and sees_run(wanted.run, backend, who):
        backend.judged(wanted.run)
    with backend.reading() as connection:
        found = alerts.list_alerts(connection, filters, wanted.cursor, wanted.limit)
        items = tuple(muted(connection, found.items, backend.clock(), filters.project))
        return page(Page(items, found.next_cursor))


@router.get("/alerts/{alert_id}", responses=answers({200: AlertWithHistory}, 404))
@allows(READ, of=Owner.ALERT)
def get_alert(alert_id: OwnAlert, backend: Served) -> Response:
    """Show one alert with its history."""
    with backend.reading() as connection:
        return answer(in_full(connection, alert_id, backend.clock()))


@router.post(
    "/alerts/{alert_id}/acknowledge",
    openapi_extra=takes(WordBody),
    responses=answers({200: AlertWithHistory}, 400, 404, 409, 413, 415, 422),
)
@allows(ADMIN, of=Owner.ALERT)
def acknowledge(
    alert_id: OwnAlert,
    body: Annotated[WordBody, Depends(reader(WordBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Say that somebody looks after a firing alert, until it gets worse or ends."""
    return _acted(alert_id, "acknowledged", body, backend, who)


@router.post(
    "/alerts/{alert_id}/resolve",
    openapi_extra=takes(WordBody),
    responses=answers({200: AlertWithHistory}, 400, 404, 413, 415, 422),
)
@allows(ADMIN, of=Owner.ALERT)
def resolve(
    alert_id: OwnAlert,
    body: Annotated[WordBody, Depends(reader(WordBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Say that an alert is over; it fires again if the trouble shows at a later step."""
    return _acted(alert_id, "resolved", body, backend, who)


def _acted(
    alert_id: uuid.UUID, kind: ActKind, body: WordBody, backend: Served, who: Principal
) -> Response:
    with backend.reading() as connection:
        run_id = run_of(alerts.get_alert(connection, alert_id))
    backend.judged(run_id)
    word = Word(run_id, alert_id, kind, who.signed(body.by), body.comment)
    backend.wait(backend.writer.submit(word))
    with backend.reading() as connection:
        return answer(in_full(connection, alert_id, backend.clock()))


@router.get("/runs/{run_id}/advice", responses=answers({200: Items[Advice]}, 404))
@allows(INGEST, READ, of=Owner.RUN)
def get_advice(run_id: OwnRun, backend: Served) -> Response:
    """What to do about the firing alerts of a run, the most urgent first."""
    backend.judged(run_id)
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        kept = alerts.of_runs(connection, [run_id]).get(run_id, {})
        wishes = handed.open_wishes(connection, [run_id]).get(run_id, {})
    names = {advice_id: wish.by for advice_id, wish in wishes.items()}
    ranked = advice.ranked_advice((alert.body for alert in kept.values()), names)
    return answer({"items": ranked, "next_cursor": None})


@router.get("/runs/{run_id}/guard", responses=answers({200: GuardBody}, 404))
@allows(INGEST, READ, of=Owner.RUN)
def get_guard(run_id: OwnRun, backend: Served) -> Response:
    """The limits the job may apply by itself before an update."""
    backend.judged(run_id)
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        return answer(writers.guard(connection, run_id).as_json())
