"""Advice handed to the job: a person's wish, which its next receipts carry."""

from __future__ import annotations

import uuid

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnRun
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.shapes import Advice
from gradwatch_service.store import handed, projects
from gradwatch_service.store.codec import Json

router = APIRouter(prefix="/runs", tags=["alerts"])


@router.post("/{run_id}/advice/{advice_id}/hand", responses=answers({200: Advice}, 404, 409))
@allows(ADMIN, of=Owner.RUN)
def hand_advice(run_id: OwnRun, advice_id: uuid.UUID, backend: Served, who: Who) -> Response:
    """Ask the job to follow advice: once, as far as its autopilot may; else it says why not."""
    backend.judged(run_id)
    now = backend.clock()

    def hand(connection: Connection) -> Json:
        who.require(projects.of_run(connection, run_id))
        return handed.hand(connection, run_id, advice_id, who.actor, now)

    return answer(backend.write(hand))
