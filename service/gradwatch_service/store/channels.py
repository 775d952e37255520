"""Where a project is told of its alerts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, select

from gradwatch_service.store.codec import Json
from gradwatch_service.store.team_tables import channels


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """One channel as it is stored, its secrets included."""

    project: str
    channel_id: uuid.UUID
    name: str
    kind: str
    settings: Json
    enabled: bool


def of_project(connection: Connection, project: str) -> tuple[ChannelRow, ...]:
    """All channels of a project, also those that are switched off."""
    columns = tuple(channels.c[name] for name in ChannelRow.__dataclass_fields__)
    query = select(*columns).where(channels.c.project == project).order_by(channels.c.channel_id)
    return tuple(ChannelRow(**row) for row in connection.execute(query).mappings())
