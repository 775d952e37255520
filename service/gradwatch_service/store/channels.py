"""The channels of a project: to whom its alerts go, and with which settings."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store.team_tables import channels

PER_PROJECT_MAX = 50


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel; ``settings`` hold its secrets: never to be shown or logged."""

    project: str
    channel_id: uuid.UUID
    name: str
    kind: str
    settings: Mapping[str, Any]
    enabled: bool
    created_at: dt.datetime
    created_by: str


def of_project(connection: Connection, project: str) -> tuple[ChannelRow, ...]:
    """All channels of a project, the oldest first."""
    query = (
        select(channels)
        .where(channels.c.project == project)
        .order_by(channels.c.created_at, channels.c.channel_id)
    )
    return tuple(map(_row, connection.execute(query).mappings()))


def get(connection: Connection, project: str, channel_id: uuid.UUID) -> ChannelRow:
    """One channel.

    Raises:
        NotFound: the project has none with this id.
    """
    query = select(channels).where(*_is(project, channel_id))
    found = connection.execute(query).mappings().one_or_none()
    if found is None:
        raise NotFound("this project has no channel with this id")
    return _row(found)


def add(connection: Connection, channel: ChannelRow) -> ChannelRow:
    """Store a new channel.

    Raises:
        Conflict: the project has as many as it may.
    """
    query = select(func.count()).where(channels.c.project == channel.project)
    if connection.execute(query).scalar_one() >= PER_PROJECT_MAX:
        raise Conflict(f"a project has at most {PER_PROJECT_MAX} channels", code="too-many")
    connection.execute(insert(channels).values(**_values(channel)))
    return channel


def change(
    connection: Connection, project: str, channel_id: uuid.UUID, changes: Mapping[str, Any]
) -> ChannelRow:
    """Rename it, switch it on or off, or give it other settings.

    Raises:
        NotFound: the project has none with this id.
    """
    changed = replace(get(connection, project, channel_id), **changes)
    connection.execute(update(channels).where(*_is(project, channel_id)).values(**_values(changed)))
    return changed


def remove(connection: Connection, project: str, channel_id: uuid.UUID) -> None:
    """Delete a channel.

    Raises:
        NotFound: the project has none with this id.
    """
    if not connection.execute(delete(channels).where(*_is(project, channel_id))).rowcount:
        raise NotFound("this project has no channel with this id")


def _is(project: str, channel_id: uuid.UUID) -> tuple[Any, Any]:
    return channels.c.project == project, channels.c.channel_id == channel_id


def _values(channel: ChannelRow) -> dict[str, Any]:
    return {column.name: getattr(channel, column.name) for column in channels.columns}


def _row(row: RowMapping) -> ChannelRow:
    return ChannelRow(**{column.name: row[column.name] for column in channels.columns})
