"""Runs as people see them: read one by one and as a list, renamed, finished, deleted."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping, Select, delete, select, update

from gradwatch_service.domain import Health, JsonValue
from gradwatch_service.errors import NotFound
from gradwatch_service.store.codec import Json, Mark, Page, rfc3339
from gradwatch_service.store.paging import paged
from gradwatch_service.store.schema import run_tables
from gradwatch_service.store.tables import attempts, runs

RunState = Literal["running", "finished", "failed", "stale"]

# What a sign of life does to the state.
ALIVE = sa.case((runs.c.state == "stale", "running"), else_=runs.c.state)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which runs a list shows; None means all."""

    project: str | None = None
    health: Health | None = None
    state: RunState | None = None


def get_run(connection: Connection, run_id: uuid.UUID) -> Json:
    """The run as the API shows it.

    Raises:
        NotFound: there is none.
    """
    row = find_row(connection, run_id)
    if row is None:
        raise NotFound(f"no run {run_id}")
    return _as_json(row, _attempts(connection, [run_id]).get(run_id, []))


def named(connection: Connection, run_ids: Sequence[uuid.UUID]) -> list[Json]:
    """Those of these runs that exist."""
    rows = connection.execute(select(runs).where(runs.c.run_id.in_(run_ids))).mappings().all()
    known = _attempts(connection, [row["run_id"] for row in rows])
    return [_as_json(row, known.get(row["run_id"], [])) for row in rows]


def list_runs(
    connection: Connection, filters: Filters, cursor: str | None = None, limit: int = 100
) -> Page:
    """One page of runs, the newest first."""
    query = paged(_filtered(filters), runs.c.started_at, runs.c.run_id, cursor, limit)
    rows = connection.execute(query).mappings().all()
    known = _attempts(connection, [row["run_id"] for row in rows])
    found = [
        (Mark(row["started_at"], row["run_id"]), _as_json(row, known.get(row["run_id"], [])))
        for row in rows
    ]
    return Page.of(found, limit)


def patch_run(
    connection: Connection, run_id: uuid.UUID, *, name: str | None = None, tags: JsonValue = None
) -> Json:
    """Change what people may change; None leaves it.

    Raises:
        NotFound: there is no such run.
    """
    changes = {key: value for key, value in (("name", name), ("tags", tags)) if value is not None}
    if changes:
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(changes))
    return get_run(connection, run_id)


def finish_run(
    connection: Connection,
    run_id: uuid.UUID,
    state: Literal["finished", "failed"],
    reason: str | None,
    now: dt.datetime,
) -> Json:
    """End a run; saying it twice keeps the first time.

    Raises:
        NotFound: there is no such run.
    """
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            state=state,
            finish_reason=reason,
            finished_at=sa.func.coalesce(runs.c.finished_at, now),
            last_seen_at=now,
            version=runs.c.version + 1,
        )
    )
    return get_run(connection, run_id)


def delete_run(connection: Connection, run_id: uuid.UUID) -> None:
    """Delete a run and every row that belongs to it.

    Raises:
        NotFound: there is no such run.
    """
    if not connection.execute(delete(runs).where(runs.c.run_id == run_id)).rowcount:
        raise NotFound(f"no run {run_id}")
    remove_rows(connection, run_id)


def hold(connection: Connection, run_id: uuid.UUID) -> bool:
    """Keep a run from being deleted for this transaction; False if it is gone."""
    query = select(runs.c.run_id).where(runs.c.run_id == run_id)
    held = connection.execute(query.with_for_update(read=True, key_share=True))
    return held.first() is not None


def remove_rows(connection: Connection, run_id: uuid.UUID) -> None:
    """Delete every row of a run that is gone."""
    for table in run_tables():
        connection.execute(delete(table).where(table.c.run_id == run_id))


def find_row(connection: Connection, run_id: uuid.UUID) -> RowMapping | None:
    """The bare row of a run."""
    return connection.execute(select(runs).where(runs.c.run_id == run_id)).mappings().first()


def _filtered(filters: Filters) -> Select[tuple[object, ...]]:
    query = select(runs)
    if filters.project is not None:
        query = query.where(runs.c.project == filters.project)
    if filters.health is not None:
        query = query.where(runs.c.health == filters.health)
    if filters.state is not None:
        query = query.where(runs.c.state == filters.state)
    return query


def _attempts(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[JsonValue]]:
    query = (
        select(attempts)
        .where(attempts.c.run_id.in_(run_ids))
        .order_by(attempts.c.run_id, attempts.c.number)
    )
    found: dict[uuid.UUID, list[JsonValue]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["run_id"], []).append(
            {
                "number": row["number"],
                "launch_id": row["launch_id"],
                "resume_step": row["resume_step"],
                "started_at": rfc3339(row["started_at"]),
            }
        )
    return found


def _as_json(row: RowMapping, attempts_of_run: list[JsonValue]) -> Json:
    finished_at = row["finished_at"]
    return {
        "id": str(row["run_id"]),
        "project": row["project"],
        "name": row["name"],
        "state": row["state"],
        "health": row["health"],
        "last_step": row["last_step"],
        "attempts": attempts_of_run,
        "started_at": rfc3339(row["started_at"]),
        "last_seen_at": rfc3339(row["last_seen_at"]),
        "finished_at": None if finished_at is None else rfc3339(finished_at),
        "finish_reason": row["finish_reason"],
        "open_alerts": row["open_alerts"],
        "config": cast(JsonValue, row["config"]),
        "tags": cast(JsonValue, row["tags"]),
        "layers_hash": row["layers_hash"],
        "layers_count": row["layers_count"],
        "degraded": row["degraded"],
    }
