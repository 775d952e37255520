"""The time by the database's clock: the one that all processes share."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection

_QUERIES = {
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
    "postgresql": "SELECT clock_timestamp()",
}


def database_now(connection: Connection) -> dt.datetime:
    """The time now, aware, in UTC."""
    found = connection.exec_driver_sql(_QUERIES[connection.dialect.name]).scalar_one()
    moment = found if isinstance(found, dt.datetime) else dt.datetime.fromisoformat(found)
    return moment.astimezone(dt.UTC)
