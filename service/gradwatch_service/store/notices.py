"""What each channel knows of each run: read, and moved on from the version that was read."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, select, update

from gradwatch_service.errors import Conflict
from gradwatch_service.store.codec import Json
from gradwatch_service.store.notice_tables import notices
from gradwatch_service.store.upsert import insert_or_nothing


@dataclass(frozen=True, slots=True)
class Notice:
    """One row; version 0: there is none yet. ``told``: alert id -> what was said of it."""

    run_id: uuid.UUID
    channel_id: uuid.UUID
    project: str
    version: int = 0
    episode: int = 0
    told: Json = field(default_factory=dict)
    told_at: dt.datetime | None = None
    news_at: dt.datetime | None = None
    due_at: dt.datetime | None = None


_COLUMNS = tuple(notices.c[name] for name in Notice.__dataclass_fields__)


def due(connection: Connection, now: dt.datetime, most: int) -> tuple[uuid.UUID, ...]:
    """Runs to be considered although nothing has changed, the most overdue first."""
    query = (
        select(notices.c.run_id).where(notices.c.due_at <= now).order_by(notices.c.due_at)
    ).limit(most)
    return tuple(dict.fromkeys(connection.execute(query).scalars()))


def of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[tuple[uuid.UUID, uuid.UUID], Notice]:
    """Run and channel -> what the channel knows of the run."""
    rows = connection.execute(select(*_COLUMNS).where(notices.c.run_id.in_(run_ids))).mappings()
    return {(row["run_id"], row["channel_id"]): Notice(**row) for row in rows}


def move(connection: Connection, notice: Notice) -> None:
    """Write a notice as the version after the one it was read at.

    Raises:
        Conflict: another process was faster.
    """
    row = asdict(notice) | {"version": notice.version + 1}
    if notice.version:
        moved = connection.execute(
            update(notices)
            .where(
                notices.c.run_id == notice.run_id,
                notices.c.channel_id == notice.channel_id,
                notices.c.version == notice.version,
            )
            .values(row)
        )
        has_moved = moved.rowcount == 1
    else:
        has_moved = insert_or_nothing(connection, notices, row)
    if not has_moved:
        raise Conflict("another worker has considered this run", code="moved")


def touch(
    connection: Connection, run_id: uuid.UUID, channel_id: uuid.UUID, **changes: object
) -> None:
    """Move a notice on, whatever its version: what was planned from it has to look again."""
    connection.execute(
        update(notices)
        .where(notices.c.run_id == run_id, notices.c.channel_id == channel_id)
        .values(changes | {"version": notices.c.version + 1})
    )
