"""Insert where a row may exist already, in the one spelling SQLite and PostgreSQL share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def inserting(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what happens where the row exists."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def insert_or_nothing(connection: Connection, table: Table, row: Mapping[str, object]) -> bool:
    """Insert a row; False if there is one already, which stays as it is."""
    statement = inserting(connection, table).values(row).on_conflict_do_nothing()
    return connection.execute(statement.returning(*table.primary_key)).first() is not None


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows; where the primary key exists, replace all other columns."""
    if not rows:
        return
    statement = inserting(connection, table)
    keys = [column.name for column in table.primary_key]
    replaced = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=replaced), rows)
