"""The board's rows: runs in the order of urgency, as few columns of each as a row shows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection, Row, Select, func, select

from gradwatch_service.domain import Health, JsonValue, Severity
from gradwatch_service.store import codec
from gradwatch_service.store.runs import RunState
from gradwatch_service.store.tables import alerts, runs

_firing = (
    select(alerts.c.run_id, func.count().label("firing"))
    .where(alerts.c.state == "firing", alerts.c.severity >= int(Severity.WARNING))
    .group_by(alerts.c.run_id)
    .subquery()
)
_HEALTH = sa.case((runs.c.health == "critical", 0), (runs.c.health == "warning", 1), else_=2)
_HAS_ENDED = runs.c.state.in_(("finished", "failed"))
_URGENCY = sa.case((_firing.c.firing > 0, 0), (_HAS_ENDED, 6), else_=3) + _HEALTH
_COLUMNS = (
    runs.c.run_id.label("id"),
    runs.c.project,
    runs.c.name,
    runs.c.state,
    runs.c.health,
    runs.c.last_step,
    runs.c.last_seen_at,
    runs.c.open_alerts,
    runs.c.config,
    runs.c.tags,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs the board shows; None means all; ``name``: a part of it, in any case."""

    project: str | None = None
    tag: str | None = None
    health: Health | None = None
    state: RunState | None = None
    name: str | None = None
    runs: Sequence[uuid.UUID] | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One run; ``urgency`` from 0 (alerts fire, health critical) to 8 (ended well)."""

    id: uuid.UUID
    project: str
    name: str
    state: str
    health: str
    last_step: int | None
    last_seen_at: dt.datetime
    open_alerts: int
    config: Mapping[str, JsonValue]
    tags: Sequence[str]
    urgency: int


def entries(
    connection: Connection, wanted: Wanted, *, skip: int = 0, limit: int | None = None
) -> list[Entry]:
    """Firing first, then what goes on, then what has ended; each by health, then seen last."""
    query = (
        _narrowed(select(*_COLUMNS, _URGENCY.label("urgency")), wanted)
        .select_from(runs.outerjoin(_firing, _firing.c.run_id == runs.c.run_id))
        .order_by(_URGENCY, runs.c.last_seen_at.desc(), runs.c.run_id.desc())
        .offset(skip)
    )
    if limit is not None:
        query = query.limit(limit)
    return [_entry(row) for row in connection.execute(query)]


def count(connection: Connection, wanted: Wanted) -> int:
    """How many there are in all."""
    query = _narrowed(select(func.count()).select_from(runs), wanted)
    return int(connection.execute(query).scalar_one())


def tags(connection: Connection, project: str | None) -> list[str]:
    """Every tag of the project's runs, or of all, in order."""
    query = select(runs.c.tags).distinct()
    if project is not None:
        query = query.where(runs.c.project == project)
    known = connection.execute(query).scalars()
    return sorted({str(tag) for some in known for tag in cast(Sequence[JsonValue], some)})


def _narrowed(query: Select[Any], wanted: Wanted) -> Select[Any]:
    for column, value in (
        (runs.c.project, wanted.project),
        (runs.c.health, wanted.health),
        (runs.c.state, wanted.state),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.name:
        query = query.where(runs.c.name.icontains(wanted.name, autoescape=True))
    if wanted.tag:
        query = query.where(_has_tag(wanted.tag))
    if wanted.runs is not None:
        query = query.where(runs.c.run_id.in_(wanted.runs))
    return query


def _has_tag(tag: str) -> sa.ColumnElement[bool]:
    """Tags are stored as a list in JSON: a bracket or a comma stands before each."""
    text, quoted = sa.type_coerce(runs.c.tags, sa.Text), codec.encode(tag)
    return sa.or_(*(text.icontains(before + quoted, autoescape=True) for before in "[,"))


def _entry(row: Row[Any]) -> Entry:
    return Entry(**row._asdict())
