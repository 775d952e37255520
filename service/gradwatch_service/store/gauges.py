"""What stands in the database now, counted for Prometheus: few rows, found by their indexes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, select

from gradwatch_service.domain import Severity
from gradwatch_service.store.notice_tables import deliveries, outbox
from gradwatch_service.store.tables import alerts, runs
from gradwatch_service.store.team_tables import heartbeats

MOST_PROJECTS = 200
OTHERS = "(others)"

Labels = tuple[str, ...]


class Standing(NamedTuple):
    """Counts by labels, and ages in seconds; None: there is nothing, or nobody, of that kind.

    ``alerts`` that are not resolved by (project, severity, state); ``runs`` that are not over by
    (project, state, health); ``deliveries`` by (state,).
    """

    alerts: dict[Labels, int]
    runs: dict[Labels, int]
    deliveries: dict[Labels, int]
    outbox: int
    outbox_age: float | None
    worker_age: float | None


def standing(connection: Connection, now: dt.datetime) -> Standing:
    """Count it."""
    open_alerts = alerts.c.state != "resolved"
    of_alerts = _counted(connection, alerts, ("project", "severity", "state"), open_alerts)
    alive = runs.c.state.in_(("running", "stale"))
    of_runs = _counted(connection, runs, ("project", "state", "health"), alive)
    waiting, oldest = connection.execute(
        select(func.count(), func.min(outbox.c.changed_at)).select_from(outbox)
    ).one()
    beat = connection.execute(select(func.max(heartbeats.c.beat_at))).scalar()
    return Standing(
        alerts=_few(
            {
                (project, Severity(severity).label, state): count
                for (project, severity, state), count in of_alerts.items()
            }
        ),
        runs=_few(of_runs),
        deliveries=_counted(connection, deliveries, ("state",), sa.true()),
        outbox=waiting,
        outbox_age=_age(oldest, now),
        worker_age=_age(beat, now),
    )


def _counted(
    connection: Connection, table: Table, names: Sequence[str], where: sa.ColumnElement[bool]
) -> dict[tuple[Any, ...], int]:
    columns = [table.c[name] for name in names]
    query = select(*columns, func.count()).where(where).group_by(*columns)
    return {tuple(row[:-1]): row[-1] for row in connection.execute(query)}


def _few(counts: dict[Labels, int]) -> dict[Labels, int]:
    """Of many projects those with the most; the rest in one."""
    sizes: dict[str, int] = {}
    for (project, *_), count in counts.items():
        sizes[project] = sizes.get(project, 0) + count
    shown = set(sorted(sizes, key=lambda project: (-sizes[project], project))[:MOST_PROJECTS])
    found: dict[Labels, int] = {}
    for (project, *rest), count in counts.items():
        key = (project if project in shown else OTHERS, *rest)
        found[key] = found.get(key, 0) + count
    return found


def _age(moment: dt.datetime | None, now: dt.datetime) -> float | None:
    return None if moment is None else max((now - moment).total_seconds(), 0.0)
