"""How far the frames of each writer lie in tiles, moved on by compare-and-set."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, func, insert, or_, select, update

from gradwatch_service.errors import Conflict
from gradwatch_service.store.tables import runs, tilings, writers

ROWS = 512
IDLE = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Tiling:
    """Of a writer: all frames below ``next_seq`` are in tiles, save those that came later.

    ``ordinal``: how many folded reports; ``gaps``: how many seqs below are not in tiles;
    ``kept_seq``: those below are kept only as coarser levels, or not at all.
    """

    next_seq: int = 0
    ordinal: int = 0
    gaps: int = 0
    kept_seq: int = 0


NONE = Tiling()


@dataclass(frozen=True, slots=True)
class Due:
    """A writer with reports to put into tiles.

    ``judged``: how many are; the others stay in the log. ``ended``: it will hardly send more.
    """

    run_id: uuid.UUID
    writer: str
    attempt: int
    judged: int
    ended: bool
    tiling: Tiling = field(default=NONE)


_COLUMNS = (tilings.c.next_seq, tilings.c.ordinal, tilings.c.gaps, tilings.c.kept_seq)


def find(connection: Connection, run_id: uuid.UUID, writer: str) -> Tiling:
    """How far this writer is."""
    query = select(*_COLUMNS).where(tilings.c.run_id == run_id, tilings.c.writer == writer)
    row = connection.execute(query).first()
    return NONE if row is None else Tiling(*row)


def due(connection: Connection, now: dt.datetime, limit: int) -> Sequence[Due]:
    """Writers with 512 folded reports that are in no tile, or with fewer and no more to come.

    In any order: workers side by side shall not all begin with the same one.
    """
    joined = writers.join(runs, runs.c.run_id == writers.c.run_id).outerjoin(
        tilings,
        and_(tilings.c.run_id == writers.c.run_id, tilings.c.writer == writers.c.writer),
    )
    loose = writers.c.ordinal - func.coalesce(tilings.c.ordinal, 0)
    ended = or_(
        runs.c.state.in_(("finished", "failed")),
        writers.c.attempt < runs.c.attempt,
        runs.c.last_seen_at < now - IDLE,
    )
    query = (
        select(
            writers.c.run_id,
            writers.c.writer,
            writers.c.attempt,
            writers.c.ordinal,
            ended.label("ended"),
            *(func.coalesce(column, 0) for column in _COLUMNS),
        )
        .select_from(joined)
        .where(or_(loose >= ROWS, and_(loose > 0, ended)))
        .order_by(func.random())
        .limit(limit)
    )
    found = []
    for run_id, writer, attempt, judged, has_ended, *position in connection.execute(query):
        found.append(Due(run_id, writer, attempt, judged, has_ended, Tiling(*position)))
    return found


def move(connection: Connection, of: Due, after: Tiling) -> None:
    """Note the new position.

    Raises:
        Conflict: another worker was faster.
    """
    if of.tiling == NONE and find(connection, of.run_id, of.writer) == NONE:
        values = {name: getattr(after, name) for name in Tiling.__slots__}
        connection.execute(insert(tilings).values(run_id=of.run_id, writer=of.writer, **values))
    elif not _replaced(connection, of, after):
        raise Conflict("another worker has moved this writer on")


def hold(connection: Connection, run_id: uuid.UUID, writer: str) -> None:
    """Lock a writer's tiles until this transaction ends, so that nobody deletes them meanwhile.

    Raises:
        Conflict: the run is gone.
    """
    lock = (
        update(tilings)
        .where(tilings.c.run_id == run_id, tilings.c.writer == writer)
        .values(ordinal=tilings.c.ordinal)
    )
    if not connection.execute(lock).rowcount:
        raise Conflict("the run is gone")


def forget(connection: Connection, run_id: uuid.UUID, writer: str, kept_seq: int) -> None:
    """Note that frames below ``kept_seq`` are no longer kept as they came."""
    connection.execute(
        update(tilings)
        .where(
            tilings.c.run_id == run_id,
            tilings.c.writer == writer,
            tilings.c.kept_seq < kept_seq,
        )
        .values(kept_seq=kept_seq)
    )


def _replaced(connection: Connection, of: Due, after: Tiling) -> bool:
    change = (
        update(tilings)
        .where(
            tilings.c.run_id == of.run_id,
            tilings.c.writer == of.writer,
            tilings.c.next_seq == of.tiling.next_seq,
        )
        .values(next_seq=after.next_seq, ordinal=after.ordinal, gaps=after.gaps)
    )
    return connection.execute(change).rowcount == 1
