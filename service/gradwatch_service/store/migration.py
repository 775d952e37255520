"""Brings a database to the newest schema, under a lock, however many processes start at once."""

from __future__ import annotations

from importlib import import_module

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.store.database import for_writing, unavailable_when_down, use_wal

HEAD = "0007_handed"  # the newest revision; the versions folder has it
_ADVISORY_LOCK = 0x67726164  # "grad"


def migrate(engine: Engine) -> None:
    """Upgrade to the newest schema; safe when many processes race, all wait for the first.

    A schema of a later version is left as it is: migrations only add, so that servers of two
    versions can share a database while they are exchanged one by one.

    Raises:
        Unavailable: the database cannot be reached or stays locked.
    """
    with unavailable_when_down():
        use_wal(engine)
        with for_writing(engine).begin() as connection:
            if engine.dialect.name == "postgresql":
                _wait_for_turn(connection)
            if not _is_newest(connection):
                import_module("gradwatch_service.store.upgrading").upgrade(connection)


def _is_newest(connection: Connection) -> bool:
    """Whether there is nothing to do, which is found out without Alembic."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
    return list(found) == [HEAD]


def _wait_for_turn(connection: Connection) -> None:
    connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
    connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(sa.text("SET LOCAL lock_timeout = '3s'"))
