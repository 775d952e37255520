"""What runs are called, for whoever speaks of several."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from gradwatch_service.domain import JsonValue
from gradwatch_service.store.tables import runs


class RunName(NamedTuple):
    """A run as people know it."""

    run_id: uuid.UUID
    project: str
    name: str
    tags: tuple[JsonValue, ...]


def of_runs(connection: Connection, run_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, RunName]:
    """The names of those that exist."""
    query = select(runs.c.run_id, runs.c.project, runs.c.name, runs.c.tags).where(
        runs.c.run_id.in_(run_ids)
    )
    rows = connection.execute(query)
    return {row.run_id: RunName(row.run_id, row.project, row.name, tuple(row.tags)) for row in rows}
