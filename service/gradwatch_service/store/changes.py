"""The reading side of the outbox: alerts that have changed, until somebody has considered them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from gradwatch_service.store.notice_tables import outbox


@dataclass(frozen=True, slots=True)
class Changed:
    """An alert that had changed for the ``version``-th time when this was read."""

    run_id: uuid.UUID
    alert_id: uuid.UUID
    version: int


def waiting(connection: Connection, most: int) -> tuple[Changed, ...]:
    """What waits to be considered, the oldest first."""
    query = (
        select(outbox.c.run_id, outbox.c.alert_id, outbox.c.version)
        .order_by(outbox.c.changed_at)
        .limit(most)
    )
    return tuple(Changed(*row) for row in connection.execute(query))


def considered(connection: Connection, changes: Sequence[Changed]) -> None:
    """Remove what was considered; what has changed again meanwhile stays."""
    for one in changes:
        connection.execute(
            delete(outbox).where(
                outbox.c.run_id == one.run_id,
                outbox.c.alert_id == one.alert_id,
                outbox.c.version == one.version,
            )
        )


def oldest_of_projects(connection: Connection) -> dict[str, dt.datetime]:
    """Since when the oldest change of each project waits."""
    query = select(outbox.c.project, func.min(outbox.c.changed_at)).group_by(outbox.c.project)
    return {row[0]: row[1] for row in connection.execute(query)}


def oldest(connection: Connection) -> dt.datetime | None:
    """Since when the oldest change waits."""
    found: dt.datetime | None = connection.execute(select(func.min(outbox.c.changed_at))).scalar()
    return found
