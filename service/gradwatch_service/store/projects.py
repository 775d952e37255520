"""Projects: those that were made at the command line, and those that runs brought with them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import cast

import sqlalchemy as sa
from sqlalchemy import Connection, select

from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.tables import alerts, runs
from gradwatch_service.store.team_tables import projects, silences
from gradwatch_service.store.upsert import insert_or_nothing


def register(connection: Connection, project: str, now: dt.datetime) -> None:
    """Make a project known; it may be already."""
    insert_or_nothing(connection, projects, {"project": project, "created_at": now})


def seen_by(connection: Connection, project: str | None) -> tuple[Json, ...]:
    """The projects that somebody of this project sees, by name; None: all."""
    counted = select(
        runs.c.project,
        sa.func.count().label("runs"),
        sa.func.max(runs.c.started_at).label("newest"),
    ).group_by(runs.c.project)
    made = select(projects.c.project)
    if project is not None:
        counted = counted.where(runs.c.project == project)
        made = made.where(projects.c.project == project)
    found: dict[str, Json] = {
        name: {"name": name, "runs": 0, "newest_run_at": None}
        for (name,) in connection.execute(made)
    }
    for row in connection.execute(counted):
        newest = rfc3339(row.newest)
        found[row.project] = {"name": row.project, "runs": row.runs, "newest_run_at": newest}
    return tuple(found[name] for name in sorted(found))


def of_run(connection: Connection, run_id: uuid.UUID) -> str | None:
    """The project that a run belongs to, for as long as there is the run."""
    query = select(runs.c.project).where(runs.c.run_id == run_id)
    return cast("str | None", connection.execute(query).scalar())


def of_alert(connection: Connection, alert_id: uuid.UUID) -> str | None:
    """The project that an alert belongs to."""
    query = select(alerts.c.project).where(alerts.c.alert_id == alert_id)
    return cast("str | None", connection.execute(query).scalar())


def of_silence(connection: Connection, silence_id: uuid.UUID) -> str | None:
    """The project that a silence belongs to."""
    query = select(silences.c.project).where(silences.c.silence_id == silence_id)
    return cast("str | None", connection.execute(query).scalar())
