"""Brings a database to the newest schema, under a lock, however many processes start at once."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from gradwatch_service.store.database import for_writing, unavailable_when_down, use_wal

log = logging.getLogger(__name__)

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
            config = alembic_config(connection)
            if _is_known(connection, config):
                command.upgrade(config, "head")


def _is_known(connection: Connection, config: Config) -> bool:
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(current) - known:
        log.warning("the schema is of a later version (%s) and stays", ", ".join(sorted(unknown)))
    return not unknown


def _wait_for_turn(connection: Connection) -> None:
    connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
    connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    connection.execute(sa.text("SET LOCAL lock_timeout = '3s'"))
