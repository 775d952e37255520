"""Many alerts at a glance: counted by state, and gathered by run or by cause."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import Column, Connection, Select, func, select

from gradwatch_service.domain import AlertState, Severity
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Mark
from gradwatch_service.store.paging import paged
from gradwatch_service.store.tables import alerts


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of one run or one cause (``key``); ``newest``: when the newest of them opened."""

    key: str
    count: int
    worst: Severity
    newest: dt.datetime


def by_state(connection: Connection, filters: AlertFilters) -> dict[AlertState, int]:
    """How many there are in each state, whichever states the filters ask for."""
    query = (
        select(alerts.c.state, func.count())
        .where(*replace(filters, states=()).conditions)
        .group_by(alerts.c.state)
    )
    return {cast(AlertState, state): count for state, count in connection.execute(query)}


def by_run(
    connection: Connection, filters: AlertFilters, cursor: str | None, limit: int
) -> tuple[list[Group], str | None]:
    """One page of runs, those with the newest alerts first, and where the next page begins."""
    found = _gathered(alerts.c.run_id, filters).subquery()
    query = paged(select(found), found.c.newest, found.c.key, cursor, limit)
    rows = connection.execute(query).all()
    groups = [_group(row.key, row.size, row.worst, row.newest) for row in rows[:limit]]
    if len(rows) <= limit:
        return groups, None
    last = groups[-1]
    return groups, Mark(last.newest, uuid.UUID(last.key)).cursor


def by_cause(connection: Connection, filters: AlertFilters) -> list[Group]:
    """All causes, those with the newest alerts first."""
    query = _gathered(alerts.c.cause, filters).order_by(func.max(alerts.c.opened_at).desc())
    return [_group(*row) for row in connection.execute(query)]


def newest_of_causes(
    connection: Connection, filters: AlertFilters, count: int
) -> tuple[uuid.UUID, ...]:
    """The newest few alerts of each cause, found in one reading of the table."""
    newest_first = (alerts.c.opened_at.desc(), alerts.c.alert_id.desc())
    place = func.row_number().over(partition_by=alerts.c.cause, order_by=newest_first)
    placed = select(alerts.c.alert_id, place.label("place")).where(*filters.conditions).subquery()
    query = select(placed.c.alert_id).where(placed.c.place <= count)
    return tuple(connection.execute(query).scalars())


def last_ended(connection: Connection, project: str | None) -> dt.datetime | None:
    """When the last alert ended, in one project or in all."""
    query = select(func.max(alerts.c.updated_at)).where(alerts.c.state == "resolved")
    if project is not None:
        query = query.where(alerts.c.project == project)
    return connection.execute(query).scalar()


def _gathered(key: Column[Any], filters: AlertFilters) -> Select[Any]:
    return (
        select(
            key.label("key"),
            func.count().label("size"),
            func.max(alerts.c.severity).label("worst"),
            func.max(alerts.c.opened_at).label("newest"),
        )
        .where(*filters.conditions)
        .group_by(key)
    )


def _group(key: object, count: int, worst: int, newest: dt.datetime) -> Group:
    return Group(str(key), count, Severity(worst), newest)
