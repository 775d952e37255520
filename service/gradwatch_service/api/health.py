"""Whether the process lives, and whether it can do its work; outside the API prefix."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.shapes import Status
from gradwatch_service.errors import Unavailable

router = APIRouter(tags=["operations"])

OK = "ok"
READY_DEADLINE_SECONDS = 5.0


@router.get("/healthz", responses=answers({200: Status}))
async def healthz() -> Response:
    """The process answers; says nothing about what it depends on."""
    return answer({"status": OK})


@router.get("/readyz", responses=answers({200: Status}))
def readyz(backend: Served) -> Response:
    """The database answers and the writer writes; 503 otherwise."""
    checks = {"database": _database(backend), "writer": _writer(backend)}
    ready = set(checks.values()) == {OK}
    return answer(
        {"status": OK if ready else "unavailable", "checks": checks}, 200 if ready else 503
    )


def _database(backend: Backend) -> str:
    try:
        with backend.reading() as connection:
            connection.execute(sa.text("SELECT 1"))
    except Unavailable as error:
        return error.detail
    return OK


def _writer(backend: Backend) -> str:
    """Only an empty command that comes back shows that the next real one would."""
    try:
        backend.writer.run(lambda _: None).result(READY_DEADLINE_SECONDS)
    except TimeoutError:
        return "the writer does not answer: if it stays so, restart the service"
    except Unavailable as error:
        return error.detail
    return OK
