"""Launches of a run: the first creates it, a later one resumes it as its next attempt."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, RowMapping, insert, select, update

from gradwatch_service.detect.tuning import as_changes
from gradwatch_service.domain import Facts, JsonValue, LayerTable
from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import layers, rules
from gradwatch_service.store.codec import Json
from gradwatch_service.store.runs import find_row, get_run
from gradwatch_service.store.tables import attempts, runs


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What ``POST /runs`` asks for. None means "not given"."""

    id: uuid.UUID
    project: str
    name: str | None = None
    config: Mapping[str, JsonValue] | None = None
    tags: JsonValue = None
    layers: LayerTable = field(default_factory=LayerTable)
    launch_id: str | None = None
    resume_step: int | None = None


def create_or_resume_run(
    connection: Connection, request: RunRequest, now: dt.datetime
) -> tuple[Json, bool]:
    """Create the run, or find it again; the flag tells whether it is new.

    A known id with a ``launch_id`` other than that of the newest attempt opens the next attempt.
    Layers are registered either way.

    Raises:
        Conflict: the id belongs to a run of another project (which one, is not told).
    """
    row = find_row(connection, request.id)
    if row is None:
        _create(connection, request, now)
    else:
        if row["project"] != request.project:
            raise Conflict("this id is taken: choose another for a new run")
        _resume(connection, row, request, now)
    if len(request.layers):
        layers.register(connection, request.id, request.layers)
    return get_run(connection, request.id), row is None


def _create(connection: Connection, request: RunRequest, now: dt.datetime) -> None:
    connection.execute(
        insert(runs).values(
            run_id=request.id,
            project=request.project,
            name=request.name or f"run-{request.id.hex[-8:]}",
            state="running",
            health="ok",
            open_alerts=0,
            attempt=0,
            layers_hash="",
            layers_count=0,
            config={},
            tags=request.tags if request.tags is not None else [],
            pushes=0,
            active_since=now,
            longest_pause_ms=0,
            started_at=now,
            last_seen_at=now,
            version=0,
        )
    )
    _open_attempt(connection, request, request.config or {}, 1, now)


def _resume(connection: Connection, row: RowMapping, request: RunRequest, now: dt.datetime) -> None:
    newest = (
        select(attempts.c.launch_id)
        .where(attempts.c.run_id == request.id)
        .order_by(attempts.c.number.desc())
        .limit(1)
    )
    if request.launch_id is None or connection.execute(newest).scalar() == request.launch_id:
        return
    config = row["config"] if request.config is None else request.config
    _open_attempt(connection, request, config, row["attempt"] + 1, now)


def _open_attempt(
    connection: Connection,
    request: RunRequest,
    config: Mapping[str, JsonValue],
    number: int,
    now: dt.datetime,
) -> None:
    connection.execute(
        insert(attempts).values(
            run_id=request.id,
            number=number,
            launch_id=request.launch_id,
            resume_step=request.resume_step,
            config=config,
            rules=rules.of_project(connection, request.project).body,
            started_at=now,
        )
    )
    connection.execute(
        update(runs)
        .where(runs.c.run_id == request.id)
        .values(
            attempt=number,
            config=config,
            state="running",
            finished_at=None,
            finish_reason=None,
            pushes=0,
            active_since=now,
            longest_pause_ms=0,
            last_seen_at=now,
            version=runs.c.version + 1,
        )
    )


def facts_of(connection: Connection, run_id: uuid.UUID, attempt: int) -> Facts:
    """What an attempt was launched with.

    It is resumed if it says so with a step beyond 0, or says nothing and is not the first.

    Raises:
        NotFound: the run has been deleted.
    """
    query = select(attempts.c.config, attempts.c.resume_step, attempts.c.rules).where(
        attempts.c.run_id == run_id, attempts.c.number == attempt
    )
    found = connection.execute(query).first()
    if found is None:
        raise NotFound(f"no run {run_id}")
    config, step, body = found
    resumed = attempt > 1 if step is None else step > 0
    return Facts.from_config(config, resumed=resumed, rules=as_changes(body))
