"""What happened before: earlier alerts of the same cause, and what the jobs did about them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from gradwatch_service.store.codec import Json
from gradwatch_service.store.deliveries import READ, Delivery
from gradwatch_service.store.notice_tables import deliveries
from gradwatch_service.store.tables import alerts, events

MOST_DELIVERIES = 500


def earlier(connection: Connection, alert: Json, limit: int) -> tuple[uuid.UUID, ...]:
    """The newest alerts of other runs of the project that had the same cause before."""
    query = (
        select(alerts.c.alert_id)
        .where(
            alerts.c.project == alert["project"],
            alerts.c.cause == alert["cause"],
            alerts.c.alert_id != uuid.UUID(str(alert["id"])),
            alerts.c.opened_at <= dt.datetime.fromisoformat(str(alert["opened_at"])),
        )
        .order_by(alerts.c.opened_at.desc(), alerts.c.alert_id.desc())
        .limit(limit)
    )
    return tuple(connection.execute(query).scalars())


def actions(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Json]]:
    """Run -> what its job said of the actions it took, in order."""
    query = (
        select(events.c.run_id, events.c.step, events.c.body)
        .where(events.c.run_id.in_(run_ids), events.c.kind == "advice")
        .order_by(events.c.received_at, events.c.event_id)
    )
    found: dict[uuid.UUID, list[Json]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, []).append({**row.body, "step": row.step})
    return found


def told(connection: Connection, run_id: uuid.UUID, alert_id: str) -> list[Delivery]:
    """The newest messages of its run that speak of an alert, the newest first."""
    query = (
        READ.where(deliveries.c.run_id == run_id)
        .order_by(deliveries.c.created_at.desc(), deliveries.c.delivery_id.desc())
        .limit(MOST_DELIVERIES)
    )
    found = (Delivery(**row) for row in connection.execute(query).mappings())
    return [one for one in found if _speaks_of(one.body, alert_id)]


def _speaks_of(body: Mapping[str, Any], alert_id: str) -> bool:
    return any(subject["id"] == alert_id for subject in body.get("subjects", ()))
