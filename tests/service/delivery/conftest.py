"""Couriers on a real database with a real writer, a real listener, and a clock set by hand."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.api.backend import Backend
from gradwatch_service.delivery.courier import Courier
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import channels, letters
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.notice_tables import deliveries, notices, outbox
from tests import alerting
from tests.alerting import NOW, PROJECT
from tests.listener import Listener, open_plain
from tests.servers import poll

T = TypeVar("T")


@dataclass
class Post:
    """Everything of a service that delivery needs; ``now`` moves when a test says so."""

    served: Backend
    listener: Listener
    now: dt.datetime = NOW
    couriers: list[Courier] = field(default_factory=list)

    def clock(self, _connection: Connection) -> dt.datetime:
        return self.now

    def hire(self, **options: Any) -> Courier:
        """One more worker."""
        courier = Courier(self.served, options.get("open_channel", open_plain), now=self.clock)
        self.couriers.append(courier)
        return courier

    def write(self, command: Callable[[Connection], T]) -> T:
        return self.served.write(command)

    def run(self, name: str = "job") -> uuid.UUID:
        return self.write(lambda connection: alerting.new_run(connection, name))

    def channel(self, path: str = "/ops", **settings: Any) -> uuid.UUID:
        url = self.listener.url + path
        return self.write(lambda connection: alerting.new_channel(connection, url, **settings))

    def switch(self, channel_id: uuid.UUID, *, enabled: bool) -> Post:
        """Switch a channel on or off, as the route does."""

        def change(connection: Connection) -> None:
            channels.change(connection, PROJECT, channel_id, {"enabled": enabled})
            if not enabled:
                letters.withdraw(connection, (PROJECT, channel_id), self.now, "off")

        self.write(change)
        return self

    def alert(self, run_id: uuid.UUID, state: str = "firing", **fields: Any) -> uuid.UUID:
        return self.write(
            lambda connection: alerting.set_alert(connection, run_id, state, **fields)
        )

    def after(self, seconds: float) -> Post:
        """Later, all that is due is planned and sent."""
        self.now += dt.timedelta(seconds=seconds)
        courier = self.couriers[0] if self.couriers else self.hire()
        for _ in range(3):  # what is settled is planned anew
            courier.beat()
            poll(lambda: not threads(), "what was sent is settled")
        return self

    def heard(self, path: str = "/ops") -> list[tuple[str, int]]:
        """Kind of each message, and how many alerts it says are firing."""
        return [(one["kind"], len(one["firing"])) for one in self.listener.of(path)]

    def deliveries(self) -> list[Any]:
        with self.served.reading() as connection:
            query = sa.select(deliveries).order_by(deliveries.c.created_at)
            return list(connection.execute(query).all())

    def notice(self) -> Any:
        with self.served.reading() as connection:
            return connection.execute(sa.select(notices)).one()

    def waiting(self) -> int:
        """How many changes nobody has considered."""
        with self.served.reading() as connection:
            return len(connection.execute(sa.select(outbox)).all())


def threads() -> list[threading.Thread]:
    """Messages under way."""
    return [one for one in threading.enumerate() if one.name == "courier"]


@pytest.fixture
def settings() -> Settings:
    return Settings(public_url="https://watch.example/")


@pytest.fixture
def post(engine: Engine, listener: Listener, settings: Settings) -> Iterator[Post]:
    writer = Writer(engine)
    writer.start()
    served = Backend(engine, writer, settings, lambda: NOW, Ballast(engine, 0))
    made = Post(served, listener)
    yield made
    listener.gate.set()
    for courier in made.couriers:
        courier.close()
    writer.stop()
