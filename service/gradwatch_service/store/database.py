"""Opens the database: one engine, with durable settings, for SQLite and for PostgreSQL."""

from __future__ import annotations

import datetime as dt
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import Connection, Engine, event, exc
from typing_extensions import override

from gradwatch_service.clock import utc_now
from gradwatch_service.errors import Unavailable

RETRY_AFTER_SECONDS = 2.0
DISK_FULL = "disk-full"
_SQLITE_BUSY_SECONDS = 10
_SQLITE_PRAGMAS = (
    "PRAGMA synchronous=FULL",
    f"PRAGMA busy_timeout={_SQLITE_BUSY_SECONDS * 1000}",
    "PRAGMA page_size=8192",  # of a new file: fewer writes for large bodies
    "PRAGMA wal_autocheckpoint=4000",  # long before that: write_ahead_log
    "PRAGMA cache_size=-16384",
    "PRAGMA secure_delete=FAST",  # Debian's default writes every page that comes free
)
# Each writes to the log, locks nothing that others want, and changes nothing.
_PROBES = {
    "sqlite": "UPDATE alembic_version SET version_num = version_num",
    "postgresql": "SELECT pg_logical_emit_message(true, 'gradwatch', 'ready')",
}
_POSTGRES_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=5s -c statement_timeout=20s "
    "-c idle_in_transaction_session_timeout=60s"
)


class BinaryCursor(psycopg.Cursor[Any]):
    """Fetches values as bytes: as text, a body would come in hexadecimal digits."""

    def __init__(self, connection: psycopg.Connection[Any], **options: Any) -> None:
        super().__init__(connection, **options)
        self.format = psycopg.pq.Format.BINARY


class Int2VectorLoader(Loader):
    """The columns of an index, as SQLAlchemy's reflection reads them: numbers in text."""

    format = psycopg.pq.Format.BINARY

    @override
    def load(self, data: Buffer) -> str:
        """A header of 20 bytes, then for each number its size in 4 bytes, and 2 bytes."""
        return " ".join(str(number) for _, number in struct.iter_unpack("!ih", bytes(data)[20:]))


def make_engine(url: str) -> Engine:
    """Make the engine of a ``sqlite:///file`` or ``postgresql+psycopg://…`` address.

    SQLite: WAL (set by ``migrate``), ``synchronous=FULL``; SQLAlchemy alone begins transactions,
    since the driver's own control begins too late. PostgreSQL: bounded waits, UTC sessions.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.drivername == "postgresql+psycopg":
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            pool_timeout=5,
            connect_args={
                "connect_timeout": 5,
                "options": _POSTGRES_OPTIONS,
                "cursor_factory": BinaryCursor,
                "context": _adapters(),
            },
        )
    raise ValueError(
        f"{parsed.drivername}: use sqlite:///FILE or postgresql+psycopg://USER@HOST/DATABASE"
    )


def _adapters() -> psycopg.adapt.AdaptersMap:
    known = psycopg.adapt.AdaptersMap(psycopg.adapters)
    known.register_loader("int2vector", Int2VectorLoader)
    return known


def for_writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock when they begin."""
    return engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")


def use_wal(engine: Engine) -> None:
    """Let SQLite's readers and its writer work side by side; lasts in the file."""
    if engine.dialect.name == "sqlite":
        # The journal mode cannot change inside a transaction.
        with engine.execution_options(sqlite_begin="").connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def database_now(connection: Connection) -> dt.datetime:
    """The time by the database's own clock, aware, in UTC; on SQLite it is this machine's."""
    if connection.dialect.name == "sqlite":
        return utc_now()
    moment: dt.datetime = connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one()
    return moment.astimezone(dt.UTC)


def probe(connection: Connection) -> None:
    """Write, to find out whether writing works."""
    connection.exec_driver_sql(_PROBES[connection.dialect.name])


@contextmanager
def unavailable_when_down() -> Iterator[None]:
    """Turn "the database cannot take this now" into an error a caller may retry."""
    try:
        yield
    except exc.TimeoutError as error:
        raise _unavailable("no connection to the database is free") from error
    except exc.DBAPIError as error:
        if not _is_outage(error):
            raise
        if _is_full(error):
            raise _unavailable("the disk of the database is full", DISK_FULL) from error
        raise _unavailable("the database does not answer") from error


def _unavailable(what: str, code: str | None = None) -> Unavailable:
    detail = f"{what}; send the same again"
    return Unavailable(detail, code=code, retry_after_seconds=RETRY_AFTER_SECONDS)


def _is_full(error: exc.DBAPIError) -> bool:
    sqlite_code = getattr(error.orig, "sqlite_errorcode", None)
    return sqlite_code == sqlite3.SQLITE_FULL or isinstance(error.orig, psycopg.errors.DiskFull)


def _is_outage(error: exc.DBAPIError) -> bool:
    if error.connection_invalidated or isinstance(error, exc.InterfaceError):
        return True
    # SQLite calls wrong SQL an operational error too; that one will not pass by itself.
    is_wrong_sql = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(error, exc.OperationalError) and not is_wrong_sql


def _sqlite(url: sa.URL) -> Engine:
    engine = sa.create_engine(url, connect_args={"timeout": _SQLITE_BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options().get("sqlite_begin", "BEGIN")
    if begin:
        connection.exec_driver_sql(begin)
