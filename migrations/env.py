"""Runs the migrations on the connection the service hands over, or on alembic.ini's address."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.types import TypeDecorator

from gradwatch_service.store.database import for_writing, make_engine
from gradwatch_service.store.schema import metadata


def render_item(kind: str, item: object, _context: object) -> str | bool:
    # History must not change with the code: our own column types are written as what they are.
    return f"sa.{item.impl!r}" if kind == "type" and isinstance(item, TypeDecorator) else False


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    url = context.get_x_argument(as_dictionary=True).get("url")
    engine = make_engine(url or context.config.get_main_option("sqlalchemy.url", ""))
    with for_writing(engine).begin() as own:
        run(own)
