"""The transitions that led an alert to where it stands, as each writer of its run saw them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from gradwatch_service.domain import AlertEvent
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.tables import alert_events

_insert_event = insert(alert_events)


def add(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert alert events, all of a group at once."""
    if rows:
        connection.execute(_insert_event, rows)


def retract(connection: Connection, retracted: Sequence[tuple[uuid.UUID, str, int]]) -> None:
    """Delete the transitions of a writer from a number on."""
    for run_id, writer, first in retracted:
        connection.execute(
            delete(alert_events).where(
                alert_events.c.run_id == run_id,
                alert_events.c.writer == writer,
                alert_events.c.number >= first,
            )
        )


def of_writer(connection: Connection, run_id: uuid.UUID, writer: str) -> tuple[AlertEvent, ...]:
    """All transitions of a writer, in order."""
    query = (
        select(alert_events)
        .where(alert_events.c.run_id == run_id, alert_events.c.writer == writer)
        .order_by(alert_events.c.number)
    )
    rows = connection.execute(query)
    return tuple(AlertEvent(row.cause, row.kind, row.step, row.text) for row in rows)


def of_alert(connection: Connection, run_id: uuid.UUID, identity: uuid.UUID) -> tuple[Json, ...]:
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
