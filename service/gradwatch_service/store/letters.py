"""Deliveries as people see them: listed, taken back, sent once more after they were given up."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, and_, select, update

from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import notices, turns
from gradwatch_service.store.codec import Json, Mark, Page
from gradwatch_service.store.deliveries import (
    READ,
    Delivery,
    DeliveryState,
    is_row,
    pending_of_runs,
)
from gradwatch_service.store.notice_tables import deliveries
from gradwatch_service.store.paging import paged


def replay(connection: Connection, project: str, delivery_id: uuid.UUID, now: dt.datetime) -> Json:
    """Send a dead letter once more, with all its retries.

    Raises:
        NotFound: the project has no such delivery.
        Conflict: it is not dead, or a newer message of its run is on its way to the channel.
    """
    found = _get(connection, project, delivery_id)
    if found.state != "dead":
        raise Conflict(f"it is {found.state}; only dead letters are replayed", code="not-dead")
    key = (found.run_id, found.channel_id)
    notices.touch(connection, *key)  # whoever plans or replays meanwhile has to look again
    if key in pending_of_runs(connection, [found.run_id]):
        raise Conflict("a newer message of this run is on its way", code="newer-pending")
    again = replace(found, state="pending", attempts=0, due_at=now, digest_id=None, settled_at=None)
    is_dead = and_(is_row(found), deliveries.c.state == "dead")
    if not connection.execute(update(deliveries).where(is_dead).values(asdict(again))).rowcount:
        raise Conflict("somebody else has replayed it", code="not-dead")
    return again.as_json()


def withdraw(
    connection: Connection, channel: tuple[str, uuid.UUID], now: dt.datetime, why: str
) -> None:
    """Take back all that is on its way to a channel, but for a message that is being sent."""
    project, channel_id = channel
    turns.lock(connection, channel)
    is_waiting = and_(
        deliveries.c.state == "pending",
        deliveries.c.lease_until < now,
        deliveries.c.project == project,
        deliveries.c.channel_id == channel_id,
    )
    run_ids = connection.execute(select(deliveries.c.run_id).where(is_waiting)).scalars()
    for run_id in sorted(set(run_ids)):
        notices.touch(connection, run_id, channel_id, due_at=now)
    changes = {"state": "superseded", "settled_at": now, "error": why}
    connection.execute(update(deliveries).where(is_waiting).values(changes))


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
    query = paged(query, deliveries.c.created_at, deliveries.c.delivery_id, cursor, limit)
    found = [Delivery(**row) for row in connection.execute(query).mappings()]
    return Page.of([(Mark(one.created_at, one.delivery_id), one.as_json()) for one in found], limit)


def newest_of(
    connection: Connection, channel_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, Delivery]:
    """Channel -> the message that was last on its way there, however that went."""
    found: dict[uuid.UUID, Delivery] = {}
    for channel_id in channel_ids:  # each is one look at an index, and there are few
        is_tried = and_(
            deliveries.c.channel_id == channel_id, deliveries.c.attempted_at.is_not(None)
        )
        query = READ.where(is_tried).order_by(deliveries.c.attempted_at.desc()).limit(1)
        row = connection.execute(query).mappings().first()
        if row is not None:
            found[channel_id] = Delivery(**row)
    return found


def runs_of(found: Page) -> list[uuid.UUID]:
    """The runs that a page of deliveries is about."""
    return sorted({uuid.UUID(str(one["run_id"])) for one in found.items})


def _get(connection: Connection, project: str, delivery_id: uuid.UUID) -> Delivery:
    query = READ.where(deliveries.c.project == project, deliveries.c.delivery_id == delivery_id)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound(f"no delivery {delivery_id}")
    return Delivery(**row)
