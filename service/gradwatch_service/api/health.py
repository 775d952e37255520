"""Whether the process lives, and whether it can do its work; outside the API prefix."""

from __future__ import annotations

import sqlalchemy as sa
from fastapi import APIRouter
from starlette.responses import Response

from gradwatch_service.api.access.policy import public
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.shapes import Status
from gradwatch_service.errors import Unavailable
from gradwatch_service.store.database import probe

router = APIRouter(tags=["operations"])

OK = "ok"
READY_DEADLINE_SECONDS = 5.0


@router.get("/healthz", responses=answers({200: Status}))
@public
async def healthz() -> Response:
    """The process answers; says nothing about what it depends on."""
    return answer({"status": OK})


@router.get("/readyz", responses=answers({200: Status}))
@public
def readyz(backend: Served) -> Response:
    """The database answers, the writer writes and the disk has room; 503 otherwise."""
    checks = {"database": _database(backend), "writer": _writer(backend), "disk": _disk(backend)}
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
    """Only a small write that comes back shows that the next real one would."""
    try:
        backend.writer.run(probe).result(READY_DEADLINE_SECONDS)
    except TimeoutError:
        return "the writer does not answer: if it stays so, restart the service"
    except Unavailable as error:
        return error.detail
    return OK


def _disk(backend: Backend) -> str:
    """The largest push must fit; what PostgreSQL has left it says itself when it is full."""
    room, push = backend.ballast.room, backend.settings.body_bytes_max
    return OK if room is None or room >= push else f"less than {push} bytes are free: delete runs"
