"""Deliveries as people see them: listed, and sent once more after they were given up."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import asdict, replace

from sqlalchemy import Connection, and_, or_, update

from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import notices
from gradwatch_service.store.codec import Json, Mark, Page
from gradwatch_service.store.deliveries import (
    READ,
    Delivery,
    DeliveryState,
    is_row,
    pending_of_runs,
)
from gradwatch_service.store.notice_tables import deliveries


def replay(connection: Connection, project: str, delivery_id: uuid.UUID, now: dt.datetime) -> Json:
    """Send a dead letter once more, with all its retries.

    Raises:
        NotFound: the project has no such delivery.
        Conflict: it is not dead, or a newer message of its run is on its way to the channel.
    """
    found = _get(connection, project, delivery_id)
    key = (found.run_id, found.channel_id)
    notices.touch(connection, *key)  # whoever plans meanwhile has to look again
    found = _get(connection, project, delivery_id)
    if found.state != "dead":
        raise Conflict(f"it is {found.state}; only dead letters are replayed", code="not-dead")
    if key in pending_of_runs(connection, [found.run_id]):
        raise Conflict("a newer message of this run is on its way", code="newer-pending")
    again = replace(found, state="pending", attempts=0, due_at=now, digest_id=None, settled_at=None)
    connection.execute(update(deliveries).where(is_row(found)).values(asdict(again)))
    return again.as_json()


def list_deliveries(
    connection: Connection,
    project: str,
    state: DeliveryState | None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page:
    """One page of a project's deliveries, the newest first."""
    query = READ.where(deliveries.c.project == project)
    if state is not None:
        query = query.where(deliveries.c.state == state)
    if cursor is not None:
        mark = Mark.parse(cursor)
        query = query.where(
            or_(
                deliveries.c.created_at < mark.moment,
                and_(deliveries.c.created_at == mark.moment, deliveries.c.delivery_id < mark.id),
            )
        )
    query = query.order_by(deliveries.c.created_at.desc(), deliveries.c.delivery_id.desc())
    found = [Delivery(**row) for row in connection.execute(query.limit(limit + 1)).mappings()]
    return Page.of([(Mark(one.created_at, one.delivery_id), one.as_json()) for one in found], limit)


def _get(connection: Connection, project: str, delivery_id: uuid.UUID) -> Delivery:
    query = READ.where(deliveries.c.project == project, deliveries.c.delivery_id == delivery_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"no delivery {delivery_id}")
    return Delivery(**row)
