"""What the job itself said: checkpoints, phases, learning rates, advice taken."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select

from gradwatch_service.domain import JsonValue
from gradwatch_service.store.codec import Json, rfc3339
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


def list_events(connection: Connection, run_id: uuid.UUID, limit: int = 1000) -> tuple[Json, ...]:
    """The newest events of a run, the oldest of them first."""
    query = (
        select(events)
        .where(events.c.run_id == run_id)
        .order_by(events.c.received_at.desc(), events.c.event_id.desc())
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    return tuple(
        {
            **found["body"],
            "attempt": found["attempt"],
            "received_at": rfc3339(found["received_at"]),
        }
        for found in reversed(rows)
    )
