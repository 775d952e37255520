"""What the job itself said: checkpoints, phases, learning rates, advice taken."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from gradwatch_service.domain import JsonValue
from gradwatch_service.store.codec import Json, Mark, Page, rfc3339
from gradwatch_service.store.paging import paged
from gradwatch_service.store.tables import events

_insert = insert(events)


def row(
    run_id: uuid.UUID,
    attempt: int,
    event: Mapping[str, JsonValue],
    event_id: uuid.UUID,
    now: dt.datetime,
) -> Mapping[str, object]:
    """One event as a row."""
    return {
        "run_id": run_id,
        "event_id": event_id,
        "attempt": attempt,
        "kind": event["kind"],
        "step": event.get("step"),
        "body": event,
        "received_at": now,
    }


def append(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert events, all of a group at once."""
    if rows:
        connection.execute(_insert, rows)


def list_events(
    connection: Connection, run_id: uuid.UUID, cursor: str | None = None, limit: int = 100
) -> Page:
    """One page of what the job said, the newest first.

    What came with one push has one time; the ids keep it in the order in which it was said.
    """
    query = select(events).where(events.c.run_id == run_id)
    query = paged(query, events.c.received_at, events.c.event_id, cursor, limit)
    rows = connection.execute(query).all()
    return Page.of([(Mark(row.received_at, row.event_id), _as_json(row)) for row in rows], limit)


def _as_json(row: Row[Any]) -> Json:
    return {
        **row.body,
        "event_id": str(row.event_id),
        "kind": row.kind,
        "step": row.step,
        "attempt": row.attempt,
        "received_at": rfc3339(row.received_at),
    }
