"""Row groups as a reader finds them: by seq, by step, by level, without their columns."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, func, select

from gradwatch_service.domain import MAX_STEP, IntArray
from gradwatch_service.store import tiles
from gradwatch_service.store.row_groups import STEP, Outline
from gradwatch_service.store.tables import row_groups

Range: TypeAlias = tuple[int, int]  # both ends included
ALL: Range = (0, MAX_STEP)


class Reach(NamedTuple):
    """Seqs and steps, and how many groups of them at most; None: all."""

    seqs: Range = ALL
    steps: Range | None = None
    limit: int | None = None


_FEW = 8
_LISTED = (
    row_groups.c.writer,
    row_groups.c.level,
    row_groups.c.seq,
    row_groups.c.seq_last,
    row_groups.c.attempt,
    row_groups.c.layers_hash,
    row_groups.c.step_min,
    row_groups.c.step_max,
    row_groups.c.rows,
    row_groups.c.received_at,
    row_groups.c.steps,
)
_reaching = (
    select(*_LISTED)
    .where(
        row_groups.c.run_id == bindparam("run"),
        row_groups.c.writer == bindparam("stream"),
        row_groups.c.level == bindparam("at"),
        row_groups.c.seq_last >= bindparam("first"),
        row_groups.c.seq <= bindparam("last"),
    )
    .order_by(row_groups.c.seq)
)
_reaching_steps = _reaching.where(
    row_groups.c.step_max >= bindparam("low"), row_groups.c.step_min <= bindparam("high")
)


@dataclass(frozen=True, slots=True)
class Group:
    """A row group without its columns; ``steps`` is packed, ``step_list`` unpacks it."""

    writer: str
    level: int
    seq: int
    seq_last: int
    attempt: int
    layers_hash: str
    step_min: int | None
    step_max: int | None
    rows: int
    received_at: dt.datetime
    steps: bytes

    def step_list(self) -> IntArray:
        """The step of each row, int64[n]."""
        return tiles.unpack(self.steps, STEP)


def reaching(
    connection: Connection, run_id: uuid.UUID, writer: str, level: int, reach: Reach
) -> list[Group]:
    """The groups of a level that reach into a range, in order."""
    (first, last), steps, limit = reach
    query = _reaching if steps is None else _reaching_steps
    if limit is not None:
        query = query.limit(limit)
    values = {"run": run_id, "stream": writer, "at": level, "first": first, "last": last}
    if steps is not None:
        values |= {"low": steps[0], "high": steps[1]}
    return [_group(row) for row in connection.execute(query, values)]


def uncovered(
    connection: Connection, run_id: uuid.UUID, writer: str, level: int, limit: int
) -> list[Group]:
    """The first groups of a level that the level above does not cover yet."""
    covered = (
        select(func.coalesce(func.max(row_groups.c.seq_last), -1))
        .where(
            row_groups.c.run_id == run_id,
            row_groups.c.writer == writer,
            row_groups.c.level == level + 1,
        )
        .scalar_subquery()
    )
    query = _groups(run_id, writer, level).where(row_groups.c.seq > covered)
    return [
        _group(row) for row in connection.execute(query.order_by(row_groups.c.seq).limit(limit))
    ]


def newest(connection: Connection, run_id: uuid.UUID, writer: str, last: int) -> list[Group]:
    """A few groups of whole reports that begin at or before step ``last``, the newest first."""
    query = _groups(run_id, writer, 0).where(row_groups.c.step_min <= last)
    rows = connection.execute(query.order_by(row_groups.c.seq.desc()).limit(_FEW))
    return [_group(row) for row in rows]


def exists(connection: Connection, run_id: uuid.UUID, row: Mapping[str, object]) -> bool:
    """Whether there is a group in this place."""
    query = select(row_groups.c.seq).where(
        row_groups.c.run_id == run_id,
        row_groups.c.writer == row["writer"],
        row_groups.c.level == row["level"],
        row_groups.c.seq == row["seq"],
    )
    return connection.execute(query).first() is not None


def outline(connection: Connection, run_id: uuid.UUID, group: Group) -> Outline:
    """What a group holds."""
    query = select(row_groups.c.outline).where(*is_group(run_id, group))
    return Outline.decode(connection.execute(query).scalar_one())


def remove(connection: Connection, run_id: uuid.UUID, gone: Sequence[Group]) -> None:
    """Delete groups of one writer and level."""
    connection.execute(
        delete(row_groups).where(
            row_groups.c.run_id == run_id,
            row_groups.c.writer == gone[0].writer,
            row_groups.c.level == gone[0].level,
            row_groups.c.seq.in_([group.seq for group in gone]),
        )
    )


def _groups(run_id: uuid.UUID, writer: str, level: int) -> Select[Any]:
    return select(*_LISTED).where(
        row_groups.c.run_id == run_id,
        row_groups.c.writer == writer,
        row_groups.c.level == level,
    )


def _group(row: Row[Any, *tuple[Any, ...]]) -> Group:
    return Group(**row._asdict())


def is_group(run_id: uuid.UUID, group: Group) -> tuple[ColumnElement[bool], ...]:
    """The conditions for the row of a group."""
    return (
        row_groups.c.run_id == run_id,
        row_groups.c.writer == group.writer,
        row_groups.c.level == group.level,
        row_groups.c.seq == group.seq,
    )
