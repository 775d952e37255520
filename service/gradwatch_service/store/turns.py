"""Whose turn it is to tell a channel something: one message at a time, whoever sends it."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Connection, select, update

from gradwatch_service.store.notice_tables import turns
from gradwatch_service.store.upsert import insert_or_nothing


def take(
    connection: Connection,
    channel: tuple[str, uuid.UUID],
    now: dt.datetime,
    lease_until: dt.datetime,
) -> bool:
    """Take a channel's turn until then; False while another has it."""
    project, channel_id = channel
    row = {"project": project, "channel_id": channel_id, "lease_until": now}
    insert_or_nothing(connection, turns, row)
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


def lock(connection: Connection, channel: tuple[str, uuid.UUID]) -> None:
    """Keep others from a channel's turn for this transaction: first of all, as whoever claims."""
    project, channel_id = channel
    query = select(turns.c.lease_until).where(
        turns.c.project == project, turns.c.channel_id == channel_id
    )
    connection.execute(query.with_for_update())


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
