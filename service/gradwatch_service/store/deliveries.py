"""Messages on their way to channels: planned, claimed, settled."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select, update

from gradwatch_service.errors import Conflict
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.notice_tables import deliveries
from gradwatch_service.store.team_tables import channels

DeliveryState: TypeAlias = Literal["pending", "sent", "superseded", "dead"]
NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row. ``body``: what is told, without numbers for the picture; see ``delivery.bodies``."""

    run_id: uuid.UUID
    delivery_id: uuid.UUID
    channel_id: uuid.UUID
    project: str
    kind: str
    body: Json
    created_at: dt.datetime
    due_at: dt.datetime
    state: DeliveryState = "pending"
    attempts: int = 0
    error: str = ""
    lease_until: dt.datetime = NEVER
    attempted_at: dt.datetime | None = None
    digest_id: uuid.UUID | None = None
    settled_at: dt.datetime | None = None

    @property
    def channel(self) -> tuple[str, uuid.UUID]:
        """The full key of its channel."""
        return self.project, self.channel_id

    @property
    def message_id(self) -> uuid.UUID:
        """The id under which it goes out."""
        return self.digest_id or self.delivery_id

    def as_json(self) -> Json:
        """The delivery as in ``GET …/deliveries``."""
        return {
            "id": str(self.delivery_id),
            "message_id": str(self.message_id),
            "run_id": str(self.run_id),
            "channel_id": str(self.channel_id),
            "kind": self.kind,
            "reason": self.body["reason"],
            "state": self.state,
            "attempts": self.attempts,
            "error": self.error,
            "created_at": rfc3339(self.created_at),
            "due_at": rfc3339(self.due_at),
            "settled_at": None if self.settled_at is None else rfc3339(self.settled_at),
        }


_columns = tuple(deliveries.c[name] for name in Delivery.__dataclass_fields__)
READ = select(*_columns)


def add(connection: Connection, delivery: Delivery) -> None:
    """Plan one."""
    connection.execute(insert(deliveries).values(asdict(delivery)))


def pending_of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[tuple[uuid.UUID, uuid.UUID], Delivery]:
    """Run and channel -> the message of the run that is on its way there."""
    query = READ.where(deliveries.c.run_id.in_(run_ids), deliveries.c.state == "pending")
    found = (Delivery(**row) for row in connection.execute(query).mappings())
    return {(one.run_id, one.channel_id): one for one in found}


def supersede(connection: Connection, delivery: Delivery, now: dt.datetime) -> None:
    """Take back one that is not being sent, as it was read.

    Raises:
        Conflict: a worker has begun to send it, or has settled it.
    """
    taken_back = connection.execute(
        update(deliveries)
        .where(
            is_row(delivery),
            deliveries.c.state == "pending",
            deliveries.c.attempts == delivery.attempts,
            deliveries.c.lease_until == delivery.lease_until,
        )
        .values(state="superseded", settled_at=now)
    )
    if not taken_back.rowcount:
        raise Conflict("the message is being sent", code="moved")


def channels_due(connection: Connection, now: dt.datetime) -> tuple[tuple[str, uuid.UUID], ...]:
    """Projects and channels for which something is due that nobody is sending, the oldest first.

    Without those that are switched off, but with those that are no more.
    """
    key = deliveries.c.project, deliveries.c.channel_id
    is_its_channel = and_(channels.c.project == key[0], channels.c.channel_id == key[1])
    query = (
        select(*key)
        .outerjoin(channels, is_its_channel)
        .where(_is_due(now), or_(channels.c.enabled, channels.c.channel_id.is_(None)))
        .group_by(*key)
        .order_by(func.min(deliveries.c.due_at))
    )
    return tuple((row.project, row.channel_id) for row in connection.execute(query))


def due_of_channel(
    connection: Connection, channel: tuple[str, uuid.UUID], now: dt.datetime, most: int
) -> tuple[Delivery, ...]:
    """What is due for a channel, the oldest first."""
    project, channel_id = channel
    query = (
        READ.where(
            _is_due(now), deliveries.c.project == project, deliveries.c.channel_id == channel_id
        )
        .order_by(deliveries.c.due_at, deliveries.c.delivery_id)
        .limit(most)
    )
    return tuple(Delivery(**row) for row in connection.execute(query).mappings())


def sent_since(
    connection: Connection, channel: tuple[str, uuid.UUID], since: dt.datetime
) -> tuple[uuid.UUID, ...]:
    """The ids of the messages that a channel was sent, or was tried to be sent, since then."""
    project, channel_id = channel
    query = select(deliveries.c.delivery_id, deliveries.c.digest_id).where(
        deliveries.c.project == project,
        deliveries.c.channel_id == channel_id,
        deliveries.c.attempted_at > since,
    )
    rows = connection.execute(query)
    return tuple(dict.fromkeys(row.digest_id or row.delivery_id for row in rows))


def claim(
    connection: Connection,
    delivery: Delivery,
    digest_id: uuid.UUID | None,
    now: dt.datetime,
    lease_until: dt.datetime,
) -> bool:
    """Begin to send one that nobody is sending; False if another was faster."""
    claimed = connection.execute(
        update(deliveries)
        .where(is_row(delivery), deliveries.c.state == "pending", deliveries.c.lease_until < now)
        .values(
            lease_until=lease_until,
            attempts=deliveries.c.attempts + 1,
            attempted_at=now,
            digest_id=digest_id,
        )
    )
    return claimed.rowcount == 1


def settle(connection: Connection, delivery: Delivery, changes: Mapping[str, object]) -> bool:
    """Write what came of a claimed one; False if its lease has passed to another."""
    settled = connection.execute(
        update(deliveries)
        .where(
            is_row(delivery),
            deliveries.c.state == "pending",
            deliveries.c.lease_until == delivery.lease_until,
        )
        .values(dict(changes) | {"lease_until": NEVER})
    )
    return settled.rowcount == 1


def is_row(delivery: Delivery) -> ColumnElement[bool]:
    """The condition that picks this one, by its full key."""
    return and_(
        deliveries.c.run_id == delivery.run_id,
        deliveries.c.delivery_id == delivery.delivery_id,
    )


def _is_due(now: dt.datetime) -> ColumnElement[bool]:
    return and_(
        deliveries.c.state == "pending",
        deliveries.c.due_at <= now,
        deliveries.c.lease_until < now,
    )
