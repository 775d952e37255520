"""Brings a database to the newest schema, under a lock, however many processes start at once."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine

from gradwatch_service.store.database import for_writing, unavailable_when_down, use_wal

_ADVISORY_LOCK = 0x67726164  # "grad"


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for a connection whose transaction the caller owns."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    return config


def migrations_folder() -> Path:
    """Where the migrations are: inside the installed package, or at the root of a checkout."""
    package = Path(str(resources.files("gradwatch_service")))
    shipped = package / "migrations"
    return shipped if shipped.is_dir() else package.parents[1] / "migrations"


def migrate(engine: Engine) -> None:
    """Upgrade to the newest schema; safe when many processes race, all wait for the first.

    Raises:
        Unavailable: the database cannot be reached or stays locked.
    """
    with unavailable_when_down():
        use_wal(engine)
        with for_writing(engine).begin() as connection:
            if engine.dialect.name == "postgresql":
                _wait_for_turn(connection)
            command.upgrade(alembic_config(connection), "head")


def _wait_for_turn(connection: Connection) -> None:
    connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
    connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(sa.text("SET LOCAL lock_timeout = '3s'"))
