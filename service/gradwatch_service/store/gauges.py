"""What stands in the database now, counted for Prometheus: few rows, found by their indexes."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa
from sqlalchemy import Connection, Table, func, select

from gradwatch_service.domain import Severity
from gradwatch_service.store import changes, heartbeats
from gradwatch_service.store.notice_tables import deliveries, outbox
from gradwatch_service.store.tables import alerts, runs

MOST_PROJECTS = 200
OTHERS = "(others)"

Labels = tuple[str, ...]
Join: TypeAlias = Callable[[float, float], float]


class Standing(NamedTuple):
    """Counts by labels, of which the first is the project, and ages in seconds.

    ``alerts`` that are not resolved by (project, severity, state); ``runs`` that are not over by
    (project, state, health); ``deliveries`` that wait or were given up by (project, state);
    ``outbox`` and ``outbox_age`` by (project,); ``worker_age``: None if there is no worker.
    """

    alerts: dict[Labels, float]
    runs: dict[Labels, float]
    deliveries: dict[Labels, float]
    outbox: dict[Labels, float]
    outbox_age: dict[Labels, float]
    worker_age: float | None


def standing(connection: Connection, now: dt.datetime) -> Standing:
    """Count it."""
    open_alerts = alerts.c.state.in_(("pending", "firing", "acknowledged"))
    of_alerts = _counted(connection, alerts, ("project", "severity", "state"), open_alerts)
    alive = runs.c.state.in_(("running", "stale"))
    of_runs = _counted(connection, runs, ("project", "state", "health"), alive)
    unsent = deliveries.c.state.in_(("pending", "dead"))
    beat = heartbeats.latest(connection)
    return Standing(
        alerts={
            (project, Severity(severity).label, state): count
            for (project, severity, state), count in of_alerts.items()
        },
        runs=of_runs,
        deliveries=_counted(connection, deliveries, ("project", "state"), unsent),
        outbox=_counted(connection, outbox, ("project",), sa.true()),
        outbox_age={
            (project,): _age(oldest, now)
            for project, oldest in changes.oldest_of_projects(connection).items()
        },
        worker_age=None if beat is None else _age(beat, now),
    )


def _counted(
    connection: Connection, table: Table, names: Sequence[str], where: sa.ColumnElement[bool]
) -> dict[tuple[Any, ...], float]:
    columns = [table.c[name] for name in names]
    query = select(*columns, func.count()).where(where).group_by(*columns)
    return {tuple(row[:-1]): row[-1] for row in connection.execute(query)}


def seen_by(
    project: str | None, values: Mapping[Labels, float], join: Join = operator.add
) -> dict[Labels, float]:
    """What is one project's; None: of all, but of many those with the most, the rest in one."""
    if project is not None:
        return {key: value for key, value in values.items() if key[0] == project}
    sizes: dict[str, float] = {}
    for (name, *_), value in values.items():
        sizes[name] = join(sizes.get(name, 0), value)
    shown = set(sorted(sizes, key=lambda name: (-sizes[name], name))[:MOST_PROJECTS])
    found: dict[Labels, float] = {}
    for (name, *rest), value in values.items():
        key = (name if name in shown else OTHERS, *rest)
        found[key] = join(found.get(key, 0), value)
    return found


def _age(moment: dt.datetime, now: dt.datetime) -> float:
    return max((now - moment).total_seconds(), 0.0)
