"""Takes what goes out next on a channel, for one worker and for a while."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from gradwatch_service.delivery.batch import Batch, choose
from gradwatch_service.store import deliveries, turns
from gradwatch_service.store.deliveries import Delivery

MINUTE: Final = dt.timedelta(minutes=1)
RUNS_IN_DIGEST: Final = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """Deliveries that are this worker's to send until then, as one message."""

    deliveries: tuple[Delivery, ...]
    lease_until: dt.datetime

    @property
    def channel(self) -> tuple[str, uuid.UUID]:
        """Project and id of the one channel they go to."""
        return self.deliveries[0].channel


def next_batch(
    connection: Connection, channel: tuple[str, uuid.UUID], now: dt.datetime, per_minute: int
) -> Batch | None:
    """What would go out now."""
    due = deliveries.due_of_channel(connection, channel, now, RUNS_IN_DIGEST)
    sent = deliveries.sent_since(connection, channel, now - MINUTE)
    return choose(due, len(sent), per_minute)


def claim(
    connection: Connection,
    channel: tuple[str, uuid.UUID],
    now: dt.datetime,
    lease: dt.timedelta,
    per_minute: int,
) -> Claim | None:
    """Take the channel's turn, and with it what goes out next; None if there is nothing to take."""
    until = now + lease
    if not turns.take(connection, channel, now, until):
        return None
    batch = next_batch(connection, channel, now, per_minute) or Batch(())
    claimed = tuple(
        replace(
            one,
            lease_until=until,
            attempts=one.attempts + 1,
            attempted_at=now,
            digest_id=batch.digest_id,
        )
        for one in batch.deliveries
        if deliveries.claim(connection, one, batch.digest_id, now, until)
    )
    if not claimed:
        turns.give_back(connection, channel, until, now)
        return None
    return Claim(claimed, until)
