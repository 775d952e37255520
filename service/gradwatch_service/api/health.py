"""Whether the process lives, and whether it can do its work; outside the API prefix."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa
from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.policy import public
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.operations import answers
from gradwatch_service.api.shapes import Status
from gradwatch_service.errors import Unavailable
from gradwatch_service.store import changes, heartbeats
from gradwatch_service.store.database import probe
from gradwatch_service.store.database_time import database_now

router = APIRouter(tags=["operations"])

OK, DEGRADED, UNAVAILABLE = "ok", "degraded", "unavailable"
READY_DEADLINE_SECONDS = 5.0
# A worker shows its life every 5 s, and considers a change within a second.
WORKER_SECONDS: Final = 30.0
OUTBOX_SECONDS: Final = 60.0


@router.get("/healthz", responses=answers({200: Status}))
@public
async def healthz() -> Response:
    """The process answers; says nothing about what it depends on."""
    return answer({"status": OK})


@router.get("/readyz", responses=answers({200: Status}))
@public
def readyz(backend: Served) -> Response:
    """The database answers, the writer writes and the disk has room; 503 otherwise.

    Without a worker nobody is told of alerts, but reports are taken: then it is `degraded`, 200.
    """
    checks = {"database": _database(backend), "writer": _writer(backend), "disk": _disk(backend)}
    if set(checks.values()) != {OK}:
        return answer({"status": UNAVAILABLE, "checks": checks}, 503)
    ages = _ages(backend)
    checks |= {"worker": _worker(ages["worker"]), "outbox": _outbox(ages["outbox"])}
    status = OK if set(checks.values()) == {OK} else DEGRADED
    return answer({"status": status, "checks": checks, "age_seconds": ages})


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


def _ages(backend: Backend) -> Mapping[str, float | None]:
    """Since when no worker has shown its life, and since when the oldest change waits for one."""
    with backend.reading() as connection:
        return {
            "worker": _age(connection, heartbeats.latest(connection)),
            "outbox": _age(connection, changes.oldest(connection)),
        }


def _age(connection: Connection, since: dt.datetime | None) -> float | None:
    if since is None:
        return None
    return max((database_now(connection) - since).total_seconds(), 0.0)


def _worker(age: float | None) -> str:
    if age is None:
        return "there is no worker, nobody is told of alerts: start one with `gradwatch worker`"
    if age > WORKER_SECONDS:
        return f"no worker for {age:.0f} s, nobody is told of alerts: start `gradwatch worker`"
    return OK


def _outbox(age: float | None) -> str:
    if age is None or age <= OUTBOX_SECONDS:
        return OK
    return f"a change of an alert waits for {age:.0f} s: see the log of the worker"
