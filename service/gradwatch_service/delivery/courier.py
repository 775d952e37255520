"""The beat of delivery: plans what is new, sends what is due, each channel in its own thread."""

from __future__ import annotations

import datetime as dt
import logging
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, TypeVar

from sqlalchemy import Connection

from gradwatch_service.api.backend import Backend
from gradwatch_service.delivery.claims import Claim, claim, next_batch
from gradwatch_service.delivery.messages import message_of
from gradwatch_service.delivery.plan import plans
from gradwatch_service.delivery.settlement import Outcome
from gradwatch_service.errors import Conflict, NotFound, ServiceError
from gradwatch_service.notify.channel import Channel, UndeliveredError
from gradwatch_service.notify.policy import Timing
from gradwatch_service.settings import Settings
from gradwatch_service.store import channels, deliveries, heartbeats, letters
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.database_time import database_now

log = logging.getLogger(__name__)

T = TypeVar("T")
OpenChannel: TypeAlias = Callable[[ChannelRow], Channel]
ChannelKey: TypeAlias = tuple[str, uuid.UUID]

BEAT_SECONDS: Final = 0.5
ROUNDS_A_BEAT: Final = 64
CHANNELS_AT_ONCE: Final = 16
HEARTBEAT: Final = dt.timedelta(seconds=5)
LEASE_TIMEOUTS: Final = 3  # a lease outlasts sending and settling
WRITE_DEADLINE_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Flight:
    """A message being sent; ``overdue_at``: on the monotonic clock; ``done``: it is settled."""

    claim: Claim
    thread: threading.Thread
    done: threading.Event
    overdue_at: float


class Courier:
    """One per worker; any number of workers may share a database.

    ``open_channel``: the way to a channel. ``now``: the clock of all times that are stored.
    """

    def __init__(
        self,
        served: Backend,
        open_channel: OpenChannel,
        *,
        now: Callable[[Connection], dt.datetime] = database_now,
    ) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._served = served
        self._open_channel = open_channel
        self._now = now
        self._timeout_seconds = served.settings.delivery_timeout_seconds
        self._lease = dt.timedelta(seconds=LEASE_TIMEOUTS * self._timeout_seconds)
        self._flights: dict[ChannelKey, Flight] = {}
        self._landed = threading.Event()
        self._abandoned: list[threading.Thread] = []
        self._beat_at: dt.datetime | None = None

    def beat(self) -> None:
        """Do what there is to do; messages leave in threads of their own.

        As long as these come back soon, what they make due is done at once.
        """
        for _ in range(ROUNDS_A_BEAT):
            self._landed.clear()
            self._round()
            if not self._flights or not self._landed.wait(BEAT_SECONDS):
                return

    def close(self) -> None:
        """Wait for the messages under way, as long as each may take; then this worker ends."""
        for flight in self._flights.values():
            flight.thread.join(self._timeout_seconds)
        self._write(lambda connection: heartbeats.stop(connection, self.name))

    def _round(self) -> None:
        with self._served.reading() as connection:
            now = self._now(connection)
        self._show_life(now)
        try:
            self._plan()
        finally:
            self._land()
            self._send_due()

    def _show_life(self, now: dt.datetime) -> None:
        if self._beat_at is None or abs(now - self._beat_at) >= HEARTBEAT:
            self._write(lambda connection: heartbeats.beat(connection, self.name, now))
            self._beat_at = now

    def _plan(self) -> None:
        """Each run in a transaction of its own; where another worker was faster, look again."""
        with self._served.reading() as connection:
            found = plans(connection, self._now(connection), _timing(self._served.settings))
        writing = [self._served.writer.run(plan.write) for plan in found]
        for future in writing:
            try:
                future.result(WRITE_DEADLINE_SECONDS)
            except Conflict as conflict:
                log.info("not planned: %s", conflict.detail)
            except (ServiceError, TimeoutError):
                raise
            except Exception:  # one run must not stop the others
                log.exception("what is new of a run cannot be written")

    def _land(self) -> None:
        """Forget what is done; give up waiting for what takes too long."""
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        for key, flight in tuple(self._flights.items()):
            if flight.done.is_set():
                del self._flights[key]
            elif time.monotonic() > flight.overdue_at:
                del self._flights[key]
                self._abandoned.append(flight.thread)
                self._settle(flight.claim, _overdue(self._timeout_seconds))

    def _send_due(self) -> None:
        with self._served.reading() as connection:
            due = deliveries.channels_due(connection, self._now(connection))
        for key in due:
            if len(self._flights) + len(self._abandoned) >= CHANNELS_AT_ONCE:
                return
            if key in self._flights or not self._may_send(key):
                continue
            claimed = self._write(partial(self._claim, key=key))
            if claimed is not None:
                self._launch(claimed)

    def _may_send(self, key: ChannelKey) -> bool:
        """Whether a claim would find something; asked first, since it costs no write."""
        per_minute = self._served.settings.deliveries_per_minute
        with self._served.reading() as connection:
            return next_batch(connection, key, self._now(connection), per_minute) is not None

    def _claim(self, connection: Connection, *, key: ChannelKey) -> Claim | None:
        now = self._now(connection)
        row = _channel(connection, key)
        if row is None:
            letters.withdraw(connection, key, now, "the channel is gone")
        if row is None or not row.enabled:
            return None
        return claim(connection, key, now, self._lease, self._served.settings.deliveries_per_minute)

    def _launch(self, claimed: Claim) -> None:
        done = threading.Event()
        thread = threading.Thread(
            target=self._fly, args=(claimed, done), name="courier", daemon=True
        )
        overdue_at = time.monotonic() + self._timeout_seconds
        self._flights[claimed.channel] = Flight(claimed, thread, done, overdue_at)
        thread.start()

    def _fly(self, claimed: Claim, done: threading.Event) -> None:
        try:
            self._settle(claimed, self._deliver(claimed))
        except ServiceError as error:  # its lease runs out, and it is sent again
            log.warning("a message may be sent twice: %s", error.detail)
        finally:
            done.set()
            self._landed.set()

    def _deliver(self, claimed: Claim) -> UndeliveredError | None:
        try:
            with self._served.reading() as connection:
                row = _channel(connection, claimed.channel)
                if row is None:
                    return UndeliveredError("the channel is gone", permanent=True)
                message = message_of(connection, claimed, self._served.settings.public_url)
            self._open_channel(row).deliver(message)
        except UndeliveredError as error:
            return error
        except ServiceError:
            raise
        except Exception as error:  # a channel that is broken must not stop the others
            log.exception("channel %s failed", claimed.channel[1])
            return UndeliveredError(f"{type(error).__name__} in the channel", permanent=False)
        return None

    def _settle(self, claimed: Claim, error: UndeliveredError | None) -> None:
        """Write what came of it; as long as the lease lasts, a database that is away may return."""
        outcome = Outcome(claimed, error)
        end = time.monotonic() + self._lease.total_seconds() - self._timeout_seconds
        while True:
            try:
                self._write(lambda connection: outcome.write(connection, self._now(connection)))
            except ServiceError:
                if time.monotonic() > end:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def _write(self, command: Callable[[Connection], T]) -> T:
        return self._served.writer.run(command).result(WRITE_DEADLINE_SECONDS)


def _channel(connection: Connection, key: ChannelKey) -> ChannelRow | None:
    try:
        return channels.get(connection, *key)
    except NotFound:
        return None


def _timing(settings: Settings) -> Timing:
    return Timing(
        dt.timedelta(seconds=settings.group_wait_seconds),
        dt.timedelta(seconds=settings.group_interval_seconds),
        dt.timedelta(seconds=settings.repeat_seconds),
    )


def _overdue(seconds: float) -> UndeliveredError:
    return UndeliveredError(f"no answer within {seconds:g} s", permanent=False)
