"""Alerts as people see them: one per run and cause, and the transitions that led there."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

from sqlalchemy import Connection, and_, delete, insert, or_, select

from gradwatch_service.diagnose.acts import Standing
from gradwatch_service.diagnose.merge import Alert
from gradwatch_service.domain import AlertEvent, AlertState, Severity
from gradwatch_service.errors import NotFound
from gradwatch_service.store.codec import Json, Mark, Page, plain, rfc3339
from gradwatch_service.store.tables import alert_events, alerts
from gradwatch_service.store.upsert import upsert

_insert_event = insert(alert_events)


@dataclass(frozen=True, slots=True)
class AlertFilters:
    """Which alerts a list shows; None means all."""

    project: str | None = None
    run_id: uuid.UUID | None = None
    state: AlertState | None = None
    severity: Severity | None = None
    rule: str | None = None


@dataclass(frozen=True)
class Incident:
    """An alert where and when it happened; ``writers`` are those that contribute to it."""

    standing: Standing
    project: str
    writers: tuple[str, ...]
    opened_at: dt.datetime
    updated_at: dt.datetime

    @property
    def alert(self) -> Alert:
        """The alert as people see it."""
        return self.standing.alert

    @cached_property
    def body(self) -> Json:
        """The alert as in ``GET /alerts``."""
        return {
            **cast(Json, plain(self.alert.as_json())),
            **_acted(self.standing),
            "project": self.project,
            "writers": list(self.writers),
            "opened_at": rfc3339(self.opened_at),
            "updated_at": rfc3339(self.updated_at),
        }


def _acted(standing: Standing) -> Json:
    """Who acknowledged or resolved it, if it stands so by somebody's word."""
    by, at = standing.by, standing.at
    known = standing.alert.state == "acknowledged"
    return {
        "acknowledged_by": by if known else None,
        "acknowledged_at": rfc3339(at) if known and at is not None else None,
        "resolved_by": None if known else by,
        "comment": standing.comment,
    }


class Kept(NamedTuple):
    """An alert as it is stored."""

    body: Json
    opened_at: dt.datetime

    def says(self, body: Json) -> bool:
        """Whether it says the same, whenever it was written."""
        return self.body | {"updated_at": ""} == body | {"updated_at": ""}


def save(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Write the alerts that changed."""
    rows = [
        {
            "run_id": incident.alert.run_id,
            "alert_id": incident.alert.id,
            "project": incident.project,
            "cause": incident.alert.cause,
            "rule": incident.alert.rule,
            "severity": int(incident.alert.severity),
            "state": incident.alert.state,
            "actionable": incident.alert.actionable,
            "body": incident.body,
            "opened_at": incident.opened_at,
            "updated_at": incident.updated_at,
        }
        for incident in incidents
    ]
    upsert(connection, alerts, rows)


def add_transitions(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert alert events, all of a group at once."""
    if rows:
        connection.execute(_insert_event, rows)


def retract_transitions(
    connection: Connection, retracted: Sequence[tuple[uuid.UUID, str, int]]
) -> None:
    """Delete the transitions of a writer from a number on."""
    for run_id, writer, first in retracted:
        connection.execute(
            delete(alert_events).where(
                alert_events.c.run_id == run_id,
                alert_events.c.writer == writer,
                alert_events.c.number >= first,
            )
        )


def transitions(connection: Connection, run_id: uuid.UUID, writer: str) -> tuple[AlertEvent, ...]:
    """All transitions of a writer, in order."""
    query = (
        select(alert_events)
        .where(alert_events.c.run_id == run_id, alert_events.c.writer == writer)
        .order_by(alert_events.c.number)
    )
    rows = connection.execute(query)
    return tuple(AlertEvent(row.cause, row.kind, row.step, row.text) for row in rows)


def of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, Kept]]:
    """Run -> cause -> alert."""
    query = select(alerts.c.run_id, alerts.c.cause, alerts.c.body, alerts.c.opened_at).where(
        alerts.c.run_id.in_(run_ids)
    )
    found: dict[uuid.UUID, dict[str, Kept]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, {})[row.cause] = Kept(row.body, row.opened_at)
    return found


def get_alert(connection: Connection, identity: uuid.UUID) -> Json:
    """One alert.

    Raises:
        NotFound: there is none.
    """
    found = connection.execute(select(alerts.c.body).where(alerts.c.alert_id == identity)).scalar()
    if found is None:
        raise NotFound(f"no alert {identity}")
    return cast(Json, found)


def list_alerts(
    connection: Connection, filters: AlertFilters, cursor: str | None = None, limit: int = 100
) -> Page:
    """One page of alerts, the newest first."""
    query = select(alerts.c.opened_at, alerts.c.alert_id, alerts.c.body)
    for column, wanted in (
        (alerts.c.project, filters.project),
        (alerts.c.run_id, filters.run_id),
        (alerts.c.state, filters.state),
        (alerts.c.severity, filters.severity),
        (alerts.c.rule, filters.rule),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if cursor is not None:
        mark = Mark.parse(cursor)
        query = query.where(
            or_(
                alerts.c.opened_at < mark.moment,
                and_(alerts.c.opened_at == mark.moment, alerts.c.alert_id < mark.id),
            )
        )
    query = query.order_by(alerts.c.opened_at.desc(), alerts.c.alert_id.desc()).limit(limit + 1)
    rows = connection.execute(query).all()
    return Page.of([(Mark(row.opened_at, row.alert_id), row.body) for row in rows], limit)


def history(connection: Connection, run_id: uuid.UUID, identity: uuid.UUID) -> tuple[Json, ...]:
    """The transitions of an alert, writer by writer, each in order."""
    query = (
        select(alert_events)
        .where(alert_events.c.run_id == run_id, alert_events.c.alert_id == identity)
        .order_by(alert_events.c.writer, alert_events.c.number)
    )
    return tuple(
        {
            "writer": row.writer,
            "by": None,
            "kind": row.kind,
            "step": row.step,
            "text": row.text,
            "at": rfc3339(row.at),
        }
        for row in connection.execute(query)
    )
