"""The last sign of life of each worker."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, delete, func, select

from gradwatch_service.store.team_tables import heartbeats
from gradwatch_service.store.upsert import upsert

FORGOTTEN = dt.timedelta(days=1)


def beat(connection: Connection, worker: str, now: dt.datetime) -> None:
    """Note that a worker lives; those that died long ago are forgotten."""
    upsert(connection, heartbeats, [{"worker": worker, "beat_at": now}])
    connection.execute(delete(heartbeats).where(heartbeats.c.beat_at < now - FORGOTTEN))


def stop(connection: Connection, worker: str) -> None:
    """Note that a worker has ended as it should."""
    connection.execute(delete(heartbeats).where(heartbeats.c.worker == worker))


def latest(connection: Connection) -> dt.datetime | None:
    """When a worker was last alive; None if there is none."""
    found: dt.datetime | None = connection.execute(select(func.max(heartbeats.c.beat_at))).scalar()
    return found
