"""How long reports are kept: as they came, then as coarser levels, then not at all; alerts stay.

Counted from a run's last sign of life, so that a job that goes on can always be judged anew from
all it reported. Each portion is one small transaction.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, select

from gradwatch_service.settings import Retention
from gradwatch_service.store import chunks, groups, levels, tilings
from gradwatch_service.store.groups import Group, Reach
from gradwatch_service.store.levels import Raised
from gradwatch_service.store.spans import OWN
from gradwatch_service.store.tables import row_groups, runs

GROUPS = 16


@dataclass(frozen=True, slots=True)
class Removal:
    """Groups of one writer and level that have been kept for long enough."""

    run_id: uuid.UUID
    groups: Sequence[Group]

    def write(self, connection: Connection) -> None:
        """Delete them.

        Raises:
            Conflict: the run is gone.
        """
        first = self.groups[0]
        tilings.hold(connection, self.run_id, first.writer)
        if first.level == 0:
            kept_seq = self.groups[-1].seq_last + 1
            tilings.forget(connection, self.run_id, first.writer, kept_seq)
        chunks.remove(connection, self.run_id, self.groups)


def portion(
    connection: Connection,
    now: dt.datetime,
    usual: Retention,
    of_projects: Mapping[str, Retention],
) -> Removal | Raised | None:
    """The next thing to do; None if there is nothing.

    Before reports are removed as they came, the level above is completed.
    """
    scopes = [(runs.c.project == project, keep) for project, keep in of_projects.items()]
    for scope, keep in [*scopes, (runs.c.project.not_in(list(of_projects)), usual)]:
        for days, levels_kept in ((keep.downsampled_days, False), (keep.raw_days, True)):
            if days is None:
                continue
            row = _outdated(connection, now - dt.timedelta(days=days), scope, levels_kept)
            if row is not None:
                return _step(connection, row, levels_kept)
    return None


def _outdated(
    connection: Connection, before: dt.datetime, scope: ColumnElement[bool], levels_kept: bool
) -> Row[uuid.UUID, str, int] | None:
    """A writer and level of a run that was last heard of before then; not of the service's own."""
    query = (
        select(row_groups.c.run_id, row_groups.c.writer, row_groups.c.level)
        .join(runs, runs.c.run_id == row_groups.c.run_id)
        .where(runs.c.last_seen_at < before, scope, row_groups.c.writer.not_like(f"{OWN}%"))
        .limit(1)
    )
    if levels_kept:
        query = query.where(row_groups.c.level == 0)
    return connection.execute(query).first()


def _step(
    connection: Connection, row: Row[uuid.UUID, str, int], levels_kept: bool
) -> Removal | Raised:
    run_id, writer, level = row
    coarser = levels.raised(connection, run_id, writer, 1, least=1) if levels_kept else None
    if coarser is not None:
        return coarser
    return Removal(run_id, groups.reaching(connection, run_id, writer, level, Reach(limit=GROUPS)))
