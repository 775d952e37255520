"""SQLite is opened durable; writers wait their turn; an outage is an error one may retry."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, exc

from gradwatch_service.errors import Unavailable
from gradwatch_service.store.database import for_writing, make_engine, unavailable_when_down
from tests.databases import POSTGRES, PostgresServer

on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])
on_postgres = pytest.mark.parametrize("backend", [POSTGRES])


@on_sqlite
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("busy_timeout", 10_000)],
)
def test_sqlite_is_durable_and_patient(engine: Engine, pragma: str, value: object) -> None:
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value


@on_sqlite
def test_a_writing_transaction_takes_the_lock_when_it_begins(engine: Engine) -> None:
    writing = for_writing(engine)
    with writing.connect() as second:
        second.exec_driver_sql("PRAGMA busy_timeout=1")
        second.rollback()
        with writing.begin() as first:
            first.exec_driver_sql("SELECT 1")
            with pytest.raises(Unavailable), unavailable_when_down():
                second.exec_driver_sql("SELECT 1")


@on_sqlite
def test_readers_see_one_snapshot_while_another_writes(engine: Engine) -> None:
    count = sa.text("SELECT count(*) FROM alembic_version")
    with engine.connect() as reader:
        assert reader.execute(count).scalar() == 1
        with for_writing(engine).begin() as writer:
            writer.exec_driver_sql("INSERT INTO alembic_version VALUES ('other')")
        assert reader.execute(count).scalar() == 1
        reader.rollback()
        assert reader.execute(count).scalar() == 2


@on_sqlite
def test_a_failed_transaction_takes_its_tables_back(engine: Engine) -> None:
    def create_and_fail() -> None:
        with for_writing(engine).begin() as connection:
            connection.exec_driver_sql("CREATE TABLE half (x)")
            connection.exec_driver_sql("SELECT nonsense")

    with pytest.raises(exc.OperationalError):
        create_and_fail()
    assert "half" not in sa.inspect(engine).get_table_names()


def test_writers_of_many_threads_all_get_their_turn(engine: Engine) -> None:
    writing = for_writing(engine)

    def write(name: str) -> None:
        with writing.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO alembic_version VALUES (:name)"), {"name": name}
            )

    threads = [threading.Thread(target=write, args=(f"v{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar() == 9


@on_postgres
def test_sessions_are_in_utc_and_their_waits_bounded(engine: Engine) -> None:
    with engine.connect() as connection:
        shown = {
            name: connection.execute(sa.text(f"SHOW {name}")).scalar()
            for name in ("timezone", "lock_timeout", "statement_timeout")
        }
    assert shown == {"timezone": "UTC", "lock_timeout": "5s", "statement_timeout": "20s"}


@on_postgres
def test_a_lost_connection_is_unavailable_and_the_next_one_works(
    engine: Engine, postgres: PostgresServer
) -> None:
    name = engine.url.database or ""
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
        postgres.close_to_all(name)
        with pytest.raises(Unavailable), unavailable_when_down():
            connection.execute(sa.text("SELECT 1"))
    postgres.open_again(name)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1


def test_wrong_sql_is_not_taken_for_an_outage(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(exc.DBAPIError), unavailable_when_down():
        connection.execute(sa.text("SELECT nonsense"))


def test_a_pool_that_is_used_up_is_unavailable(database_url: str) -> None:
    engine = make_engine(database_url)
    small = sa.create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with small.connect(), pytest.raises(Unavailable, match="is free"), unavailable_when_down():
        small.connect()
    small.dispose()
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "postgresql://localhost/x"])
def test_other_databases_are_refused_with_what_to_use(url: str) -> None:
    with pytest.raises(ValueError, match=r"use sqlite:///FILE or postgresql\+psycopg://"):
        make_engine(url)
