"""Ids and names in a path that only those get any further with to whom they belong."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from gradwatch_service.api.access.principal import Principal, Who
from gradwatch_service.api.backend import Backend, Served
from gradwatch_service.api.bodies import Name
from gradwatch_service.errors import NotFound
from gradwatch_service.store import projects

FindProject = Callable[[Connection, uuid.UUID], str | None]


async def own_run(run_id: uuid.UUID, backend: Served, who: Who) -> uuid.UUID:
    """The run in the path, unless it is another project's."""
    return await _own(run_id, "run", projects.of_run, backend, who)


async def own_alert(alert_id: uuid.UUID, backend: Served, who: Who) -> uuid.UUID:
    """The alert in the path, unless it is another project's."""
    return await _own(alert_id, "alert", projects.of_alert, backend, who)


async def own_silence(silence_id: uuid.UUID, backend: Served, who: Who) -> uuid.UUID:
    """The silence in the path, unless it is another project's."""
    return await _own(silence_id, "silence", projects.of_silence, backend, who)


async def own_project(project: Name, who: Who) -> str:
    """The project in the path, unless the key is for another one."""
    who.require(project)
    return project


def sees_run(run_id: uuid.UUID, backend: Backend, who: Principal) -> bool:
    """Whether a run is there for this principal; whoever sees all is not looked up."""
    if who.project is None:
        return True
    with backend.reading() as connection:
        return projects.of_run(connection, run_id) == who.project


async def _own(
    identity: uuid.UUID, what: str, find: FindProject, backend: Backend, who: Principal
) -> uuid.UUID:
    if who.project is not None:
        project = await run_in_threadpool(_found, find, identity, backend)
        if project != who.project:
            raise NotFound(f"no {what} {identity}")
    return identity


def _found(find: FindProject, identity: uuid.UUID, backend: Backend) -> str | None:
    with backend.reading() as connection:
        return find(connection, identity)


OwnRun = Annotated[uuid.UUID, Depends(own_run)]
OwnAlert = Annotated[uuid.UUID, Depends(own_alert)]
OwnSilence = Annotated[uuid.UUID, Depends(own_silence)]
OwnProject = Annotated[str, Depends(own_project)]
