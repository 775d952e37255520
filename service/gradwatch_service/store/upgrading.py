"""What Alembic does with a database whose schema is not the newest; it takes a while to import."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

log = logging.getLogger(__name__)


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


def upgrade(connection: Connection) -> None:
    """Upgrade to the newest schema, unless it is one of a later version."""
    config = alembic_config(connection)
    if _is_known(connection, config):
        command.upgrade(config, "head")


def _is_known(connection: Connection, config: Config) -> bool:
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    current = MigrationContext.configure(connection).get_current_heads()
    if unknown := set(current) - known:
        log.warning("the schema is of a later version (%s) and stays", ", ".join(sorted(unknown)))
    return not unknown
