"""Whose turn it is to tell a channel something: one message at a time, whoever sends it."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Connection, update
from sqlalchemy.dialects import postgresql, sqlite

from gradwatch_service.store.notice_tables import turns


def take(
    connection: Connection,
    channel: tuple[str, uuid.UUID],
    now: dt.datetime,
    lease_until: dt.datetime,
) -> bool:
    """Take a channel's turn until then; False while another has it."""
    project, channel_id = channel
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"project": project, "channel_id": channel_id, "lease_until": now}
    connection.execute(dialect.insert(turns).values(row).on_conflict_do_nothing())
    taken = connection.execute(
        update(turns)
        .where(
            turns.c.project == project,
            turns.c.channel_id == channel_id,
            turns.c.lease_until <= now,
        )
        .values(lease_until=lease_until)
    )
    return taken.rowcount == 1


def give_back(
    connection: Connection,
    channel: tuple[str, uuid.UUID],
    lease_until: dt.datetime,
    now: dt.datetime,
) -> None:
    """Let the next have it; nothing happens if the turn has passed on."""
    project, channel_id = channel
    connection.execute(
        update(turns)
        .where(
            turns.c.project == project,
            turns.c.channel_id == channel_id,
            turns.c.lease_until == lease_until,
        )
        .values(lease_until=now)
    )
