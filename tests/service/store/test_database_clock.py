import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.clock import utc_now
from gradwatch_service.store import database_clock
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.database_clock import DatabaseClock, Reading, shared_clock
from gradwatch_service.store.database_time import database_now
from tests.databases import POSTGRES, PostgresServer

SECOND = dt.timedelta(seconds=1)
MOMENT = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def test_a_reading_goes_on_with_the_seconds_counted_since():
    assert Reading(100.0, MOMENT).at(101.5) == MOMENT + 1.5 * SECOND


def test_a_database_tells_the_time(engine: Engine):
    with engine.connect() as connection:
        now = database_now(connection)
    assert now.utcoffset() == dt.timedelta(0)
    assert abs(now - utc_now()) < 10 * SECOND


def test_the_shared_clock_goes_forward(engine: Engine):
    clock = shared_clock(engine)
    times = [clock() for _ in range(100)]
    assert times == sorted(times)
    assert abs(times[-1] - utc_now()) < 10 * SECOND


@pytest.mark.parametrize("backend", [POSTGRES])
def test_it_goes_on_while_the_database_is_away(
    engine: Engine, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database_clock, "REMEMBERED_SECONDS", 0.0)  # it reads at every call
    clock = DatabaseClock(engine)
    before = clock()
    database = str(sa.make_url(engine.url).database)
    postgres.close_to_all(database)
    try:
        assert before <= clock() < before + 60 * SECOND
    finally:
        postgres.open_again(database)
    engine.dispose()
    assert clock() > before


def test_sqlite_has_the_clock_of_its_machine():
    engine = make_engine("sqlite://")
    assert shared_clock(engine) is utc_now
    engine.dispose()
