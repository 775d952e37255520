"""Runs: opened, resumed, listed, renamed, ended, deleted, and what they say about themselves."""

from __future__ import annotations

import uuid
from dataclasses import replace
from hashlib import sha256
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnRun
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, INGEST, READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import EventsBody, FinishBody, RunBody, RunChanges, reader
from gradwatch_service.api.operations import IdempotencyKey, answers, takes
from gradwatch_service.api.queries import PlainList, RunList, page
from gradwatch_service.api.shapes import Accepted, EventShape, Items, Run
from gradwatch_service.domain import Frame
from gradwatch_service.ingest.pushes import StepsPush
from gradwatch_service.store import audit, events, launches, projects, runs
from gradwatch_service.store.codec import Json
from gradwatch_service.store.silence import Silence

router = APIRouter(prefix="/runs", tags=["runs"])


@router.post(
    "",
    status_code=201,
    openapi_extra=takes(RunBody),
    responses=answers({201: Run, 200: Run}, 400, 409, 413, 415, 422),
)
@allows(INGEST, of=Owner.BODY)
def post_run(
    body: Annotated[RunBody, Depends(reader(RunBody))], backend: Served, who: Who
) -> Response:
    """Open a run; a known id finds it again, a new launch id opens its next attempt."""
    who.claim(body.project)
    now = backend.clock()
    request = body.as_request(now)
    run, is_new = backend.write(
        lambda connection: launches.create_or_resume_run(connection, request, now)
    )
    return answer(run, 201 if is_new else 200)


@router.get("", responses=answers({200: Items[Run]}, 404, 422))
@allows(READ, of=Owner.LIST)
def get_runs(backend: Served, wanted: RunList, who: Who) -> Response:
    """List runs, the newest first."""
    filters = replace(wanted.filters, project=who.narrow(wanted.project))
    with backend.reading() as connection:
        return page(runs.list_runs(connection, filters, wanted.cursor, wanted.limit))


@router.get("/{run_id}", responses=answers({200: Run}, 404))
@allows(READ, of=Owner.RUN)
def get_run(run_id: OwnRun, backend: Served) -> Response:
    """Show one run."""
    backend.judged(run_id)
    with backend.reading() as connection:
        return answer(runs.get_run(connection, run_id))


@router.patch(
    "/{run_id}",
    openapi_extra=takes(RunChanges),
    responses=answers({200: Run}, 400, 404, 413, 415, 422),
)
@allows(ADMIN, of=Owner.RUN)
def patch_run(
    run_id: OwnRun,
    body: Annotated[RunChanges, Depends(reader(RunChanges))],
    backend: Served,
    who: Who,
) -> Response:
    """Rename or tag a run."""

    def patch(connection: Connection) -> Json:
        who.require(projects.of_run(connection, run_id))
        return runs.patch_run(connection, run_id, **body.as_changes())

    return answer(backend.write(patch))


@router.delete("/{run_id}", status_code=204, responses=answers({}, 404))
@allows(ADMIN, of=Owner.RUN)
def delete_run(run_id: OwnRun, backend: Served, who: Who) -> Response:
    """Delete a run with everything it reported."""

    def delete(connection: Connection) -> None:
        project = projects.of_run(connection, run_id)
        who.require(project)
        runs.delete_run(connection, run_id)
        audit.note(
            connection,
            str(project),
            who.actor,
            "run-deleted",
            str(run_id),
            {},
            now=backend.clock(),
        )

    backend.delete(delete)
    return Response(status_code=204)


@router.get("/{run_id}/events", responses=answers({200: Items[EventShape]}, 404, 422))
@allows(READ, of=Owner.RUN)
def get_events(run_id: OwnRun, backend: Served, wanted: PlainList) -> Response:
    """List what the job said, the newest first."""
    with backend.reading() as connection:
        runs.get_run(connection, run_id)
        return page(events.list_events(connection, run_id, wanted.cursor, wanted.limit))


@router.post(
    "/{run_id}/events",
    status_code=201,
    openapi_extra=takes(EventsBody),
    responses=answers({201: Accepted, 200: Accepted}, 400, 404, 409, 413, 415, 422),
)
@allows(INGEST, of=Owner.WRITER)
async def post_events(
    run_id: uuid.UUID,
    request: Request,
    body: Annotated[EventsBody, Depends(reader(EventsBody))],
    backend: Served,
    who: Who,
    key: IdempotencyKey = None,
) -> Response:
    """Store what the job says: a checkpoint, a phase, a change of the learning rate, a note.

    Diagnosis heeds it for the steps of ``POST …/steps``. A job that sends frames puts its events
    into them: only there do they have one place among its reports, whatever arrives first.
    """
    frame = Frame(np.empty(0, np.int64), np.empty(0), events=body.as_events())
    digest = sha256(await request.body()).digest()
    push = StepsPush(
        run_id, digest, frame, layer_names=(), idempotency_key=key, project=who.project
    )
    receipt = await backend.stored(backend.writer.submit(push))
    if receipt.status == "duplicate":
        return answer({"accepted": 0}, 200)
    return answer({"accepted": len(frame.events)}, 201)


@router.post(
    "/{run_id}/finish",
    openapi_extra=takes(FinishBody),
    responses=answers({200: Run}, 400, 404, 413, 415, 422),
)
@allows(INGEST, of=Owner.RUN)
def finish_run(
    run_id: OwnRun,
    body: Annotated[FinishBody, Depends(reader(FinishBody))],
    backend: Served,
    who: Who,
) -> Response:
    """End a run."""
    backend.judged(run_id)
    now = backend.clock()

    def finish(connection: Connection) -> Json:
        who.require(projects.of_run(connection, run_id))
        return runs.finish_run(connection, run_id, body.state, body.reason, now)

    backend.write(finish)
    backend.wait(backend.writer.submit(Silence.over(run_id, now)))
    with backend.reading() as connection:
        return answer(runs.get_run(connection, run_id))
