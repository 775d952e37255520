"""Runs that have gone silent: marked stale until they report again."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Connection, RowMapping, select, update

from gradwatch_service.store.tables import runs

PUSHES_TO_KNOW_PACE = 5
PATIENCE_AT_FIRST = dt.timedelta(minutes=30)
PATIENCE_LEAST = dt.timedelta(seconds=30)
PATIENCE_IN_INTERVALS = 20


def mark_stale(connection: Connection, now: dt.datetime) -> tuple[uuid.UUID, ...]:
    """Mark the running runs that have been silent too long; returns those it marked.

    The time that counts as too long follows the pace of the run's own reports.
    """
    query = select(runs.c.run_id, runs.c.pushes, runs.c.active_since, runs.c.last_seen_at).where(
        runs.c.state == "running", runs.c.last_seen_at < now - PATIENCE_LEAST
    )
    silent = [
        row
        for row in connection.execute(query).mappings().all()
        if now - row["last_seen_at"] > _patience(row)
    ]
    return tuple(row["run_id"] for row in silent if _mark(connection, row))


def patience(pushes: int, active: dt.timedelta) -> dt.timedelta:
    """How long a run may be silent that pushed so often in so long: 20 mean intervals."""
    if pushes < PUSHES_TO_KNOW_PACE:
        return PATIENCE_AT_FIRST
    return max(PATIENCE_LEAST, PATIENCE_IN_INTERVALS * active / pushes)


def _patience(row: RowMapping) -> dt.timedelta:
    return patience(row["pushes"], row["last_seen_at"] - row["active_since"])


def _mark(connection: Connection, row: RowMapping) -> bool:
    """Mark it unless it has reported meanwhile."""
    result = connection.execute(
        update(runs)
        .where(
            runs.c.run_id == row["run_id"],
            runs.c.state == "running",
            runs.c.last_seen_at == row["last_seen_at"],
        )
        .values(state="stale")
    )
    return result.rowcount == 1
