"""What may have changed while somebody watches: narrow rows, to compare with a moment ago.

Nothing is written for it and no index grows: a push costs the same whether anybody watches or not.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, or_, select, type_coerce

from gradwatch_service.store.advice import OPEN_STATES
from gradwatch_service.store.silences import active
from gradwatch_service.store.tables import alerts, runs

# A row may be committed so long after the time it bears.
LATE: Final = dt.timedelta(seconds=60)
IDS_AT_ONCE: Final = 500

Kind: TypeAlias = Literal["run", "alert"]
Key: TypeAlias = tuple[Kind, uuid.UUID]


class Sight(NamedTuple):
    """A run or an alert: ``news`` is what people wait for, ``moved`` that it goes on.

    ``is_lively``: every look finds it, not only one that asks for it by its id.
    """

    project: str
    run_id: uuid.UUID
    is_lively: bool
    news: tuple[object, ...]
    moved: tuple[object, ...]


class Look(NamedTuple):
    """What stands now; ``muted``: the silences that hold, by project."""

    sights: Mapping[Key, Sight]
    muted: Mapping[str, frozenset[uuid.UUID]]


_runs: Select[Any] = select(
    runs.c.run_id, runs.c.project, runs.c.state, runs.c.health, runs.c.open_alerts, runs.c.name,
    type_coerce(runs.c.tags, Text).label("tags"), runs.c.version, runs.c.pushes,
)  # fmt: skip
_alerts: Select[Any] = select(
    alerts.c.alert_id, alerts.c.project, alerts.c.run_id, alerts.c.state, alerts.c.severity,
    alerts.c.last_step, alerts.c.updated_at,
)  # fmt: skip
_OPEN = ("pending", *sorted(OPEN_STATES))


def look(
    connection: Connection, now: dt.datetime, since: dt.datetime, known: Iterable[Key]
) -> Look:
    """Running runs and open alerts, what is new since then, and what is ``known`` already."""
    begun = since - LATE
    lively_runs = or_(runs.c.state == "running", runs.c.started_at >= begun)
    lively_alerts = or_(alerts.c.state.in_(_OPEN), alerts.c.opened_at >= begun)
    found = dict(map(_run, connection.execute(_runs.where(lively_runs))))
    found.update(map(_alert, connection.execute(_alerts.where(lively_alerts))))
    missing = [key for key in known if key not in found]
    for query, column, kind, read in (
        (_runs, runs.c.run_id, "run", _run),
        (_alerts, alerts.c.alert_id, "alert", _alert),
    ):
        ids = [identity for sort, identity in missing if sort == kind]
        found.update(map(read, _of_ids(connection, query, column, ids)))
    return Look(found, _muted(connection, now))


def _of_ids(
    connection: Connection, query: Select[Any], column: ColumnElement[Any], ids: list[uuid.UUID]
) -> Iterator[Row[Any]]:
    for first in range(0, len(ids), IDS_AT_ONCE):
        some = ids[first : first + IDS_AT_ONCE]
        yield from connection.execute(query.where(column.in_(some)))


def _run(row: Iterable[Any]) -> tuple[Key, Sight]:
    run_id, project, state, health, open_alerts, name, tags, version, pushes = row
    news = (state, health, open_alerts, name, tags)
    return ("run", run_id), Sight(project, run_id, state == "running", news, (version, pushes))


def _alert(row: Iterable[Any]) -> tuple[Key, Sight]:
    alert_id, project, run_id, state, severity, last_step, updated_at = row
    news, moved = (state, severity), (last_step, updated_at)
    return ("alert", alert_id), Sight(project, run_id, state in _OPEN, news, moved)


def _muted(connection: Connection, now: dt.datetime) -> dict[str, frozenset[uuid.UUID]]:
    found: dict[str, frozenset[uuid.UUID]] = {}
    for silence in active(connection, now):
        found[silence.project] = found.get(silence.project, frozenset()) | {silence.id}
    return found
