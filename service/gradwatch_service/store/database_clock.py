"""The time that all processes on one database share, whatever their own clocks say."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from gradwatch_service.clock import Clock, utc_now
from gradwatch_service.store.database_time import database_now

REMEMBERED_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the database's clock said when this process's counter stood at ``counter`` seconds."""

    counter: float
    moment: dt.datetime

    def at(self, counter: float) -> dt.datetime:
        """What it says when the counter stands there."""
        return self.moment + dt.timedelta(seconds=counter - self.counter)


class DatabaseClock:
    """A ``Clock`` on a PostgreSQL server's time; this process only counts the seconds since.

    Read anew now and then. While the database is away, the seconds since are all there is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading = self._read()
        self._is_reading = threading.Lock()
        self._again_at = time.monotonic() + REMEMBERED_SECONDS

    def __call__(self) -> dt.datetime:
        """The time now, aware, in UTC."""
        counter = time.monotonic()
        if counter >= self._again_at and self._is_reading.acquire(blocking=False):
            try:
                self._again_at = counter + REMEMBERED_SECONDS
                self._reading = self._read()
            except SQLAlchemyError as error:
                log.info("the database does not tell the time: %s", error)
            finally:
                self._is_reading.release()
        return self._reading.at(time.monotonic())

    def _read(self) -> Reading:
        with self._engine.connect() as connection:
            connection.execute(select(1))  # opens the connection, which may take long
            before = time.monotonic()
            moment = database_now(connection)
            return Reading((before + time.monotonic()) / 2, moment)


def shared_clock(engine: Engine) -> Clock:
    """The clock for what is stored: SQLite's only process has the machine's."""
    return utc_now if engine.dialect.name == "sqlite" else DatabaseClock(engine)
