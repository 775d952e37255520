"""Writes down what came of a message after it was sent: who knows of it now, or when to retry."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection

from gradwatch_service.delivery.claims import Claim
from gradwatch_service.delivery.knowledge import lost
from gradwatch_service.delivery.retries import pause
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.store import deliveries, notices, turns
from gradwatch_service.store.codec import Json
from gradwatch_service.store.deliveries import Delivery

ERROR_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a claim; ``error``: None if the message has arrived."""

    claim: Claim
    error: UndeliveredError | None = None

    def write(self, connection: Connection, now: dt.datetime) -> None:
        """Write it; whatever has passed on to another worker is left to that one."""
        turns.lock(connection, self.claim.channel)  # first, as whoever claims does
        changes = self._changes(now)
        for one in sorted(self.claim.deliveries, key=lambda one: one.run_id):
            notices.touch(connection, one.run_id, one.channel_id)  # then, as whoever plans does
            if deliveries.settle(connection, one, changes):
                _look_again(connection, one, changes, now)
        turns.give_back(connection, self.claim.channel, self.claim.lease_until, now)

    def _changes(self, now: dt.datetime) -> dict[str, object]:
        """The same for all: a digest is tried again as a whole, until the newest of it gives up."""
        if self.error is None:
            return {"state": "sent", "settled_at": now, "error": ""}
        error = self.error.detail[:ERROR_LENGTH]
        attempts = min(one.attempts for one in self.claim.deliveries)
        again = pause(self.error, attempts, self.claim.deliveries[0].message_id)
        if again is None:
            return {"state": "dead", "settled_at": now, "error": error}
        return {"state": "pending", "due_at": now + again, "error": error}


def _look_again(
    connection: Connection, one: Delivery, changes: dict[str, object], now: dt.datetime
) -> None:
    notice: dict[str, object] = {"due_at": now}
    if changes["state"] != "pending":
        notice |= {"told_at": now, "news_at": None, "told": _told(connection, one, changes)}
    notices.touch(connection, one.run_id, one.channel_id, **notice)


def _told(connection: Connection, one: Delivery, changes: dict[str, object]) -> Json:
    if changes["state"] == "sent":
        return cast(Json, one.body["told"])
    notice = notices.of_runs(connection, [one.run_id])[one.run_id, one.channel_id]
    return lost(notice.told, one.body)
