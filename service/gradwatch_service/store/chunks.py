"""Row groups and their tiles in the database: written whole, read whole or by the column."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select

from gradwatch_service.domain import MAX_STEP, Frame, IntArray
from gradwatch_service.store import tiles
from gradwatch_service.store.row_groups import STEP, TIME, Member, Outline, Part, RowGroup
from gradwatch_service.store.tables import chunks, row_groups
from gradwatch_service.store.tiles import Values

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
_of_part = (
    select(chunks.c.seq, chunks.c.tile, chunks.c.body)
    .where(
        chunks.c.run_id == bindparam("run"),
        chunks.c.kind == bindparam("kind"),
        chunks.c.metric == bindparam("metric"),
        chunks.c.writer == bindparam("stream"),
        chunks.c.level == bindparam("level"),
        chunks.c.seq.in_(bindparam("seqs", expanding=True)),
    )
    .order_by(chunks.c.seq, chunks.c.tile)
)
_some_of_part = _of_part.where(chunks.c.tile.in_(bindparam("tiles", expanding=True)))
_insert_group = insert(row_groups)
_insert_chunks = insert(chunks)


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


@dataclass(frozen=True, slots=True)
class Written:
    """A group to insert: its row, and its tiles."""

    row: Mapping[str, object]
    tiles: Sequence[Mapping[str, object]]

    def insert(self, connection: Connection) -> None:
        """Insert it all."""
        connection.execute(_insert_group, self.row)
        if self.tiles:
            connection.execute(_insert_chunks, self.tiles)


def groups(
    connection: Connection, run_id: uuid.UUID, writer: str, level: int, reach: Reach
) -> list[Group]:
    """The groups of a level that reach into a range, in order."""
    query = _groups(run_id, writer, level).where(
        row_groups.c.seq_last >= reach.seqs[0], row_groups.c.seq <= reach.seqs[1]
    )
    if reach.steps is not None:
        low, high = reach.steps
        query = query.where(row_groups.c.step_max >= low, row_groups.c.step_min <= high)
    rows = connection.execute(query.order_by(row_groups.c.seq).limit(reach.limit))
    return [_group(row) for row in rows]


def groups_after(
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
    query = select(row_groups.c.outline).where(*_is(run_id, group))
    return Outline.decode(connection.execute(query).scalar_one())


def frames_of(
    connection: Connection, run_id: uuid.UUID, group: Group
) -> Iterator[tuple[Member, Frame]]:
    """The frames of a group of whole reports."""
    query = select(row_groups.c.time, row_groups.c.outline).where(*_is(run_id, group))
    row = connection.execute(query).one()
    found = Outline.decode(row.outline)
    blocks = {
        part: block(connection, run_id, group, part, width) for part, width in found.widths.items()
    }
    return RowGroup(found, group.step_list(), tiles.unpack(row.time, TIME), blocks).frames()


def block(
    connection: Connection, run_id: uuid.UUID, group: Group, part: Part, width: int
) -> Values:
    """A part of a group, [n, width]."""
    found = [
        tiles.decode(row.body, part.dtype, group.rows)
        for row in bodies(connection, run_id, part, [group])
    ]
    if not found:
        return np.empty((group.rows, width), part.dtype)
    columns = np.ascontiguousarray(np.concatenate(found).T)
    columns.flags.writeable = False
    return columns


def bodies(
    connection: Connection,
    run_id: uuid.UUID,
    part: Part,
    wanted: Sequence[Group],
    tile: int | None = None,
) -> Iterable[Row[Any]]:
    """(seq, tile, body) of a part in groups of one writer and level, in order; or of one tile."""
    if not wanted:
        return ()
    values = {
        "run": run_id,
        **part._asdict(),
        "stream": wanted[0].writer,
        "level": wanted[0].level,
        "seqs": [group.seq for group in wanted],
    }
    if tile is None:
        return connection.execute(_of_part, values)
    return connection.execute(_some_of_part, values | {"tiles": [tile]})


def packed(run_id: uuid.UUID, row: Mapping[str, object], part: Part, block: Values) -> list[Any]:
    """The tiles of a part, as rows to insert."""
    if not len(block):
        return []
    steps = tiles.differences(block)
    place = {key: row[key] for key in ("writer", "level", "seq")}
    return [
        {
            "run_id": run_id,
            **part._asdict(),
            "tile": number,
            **place,
            "body": tiles.encode(steps[:, start : start + tiles.WIDTH]),
        }
        for number, start in enumerate(range(0, steps.shape[1], tiles.WIDTH))
    ]


def remove(connection: Connection, run_id: uuid.UUID, gone: Sequence[Group]) -> None:
    """Delete groups of one writer and level, with their tiles."""
    seqs = [group.seq for group in gone]
    parts = {part for group in gone for part in outline(connection, run_id, group).widths}
    for part in sorted(parts):
        connection.execute(
            delete(chunks).where(
                chunks.c.run_id == run_id,
                chunks.c.kind == part.kind,
                chunks.c.metric == part.metric,
                chunks.c.writer == gone[0].writer,
                chunks.c.level == gone[0].level,
                chunks.c.seq.in_(seqs),
            )
        )
    connection.execute(
        delete(row_groups).where(
            row_groups.c.run_id == run_id,
            row_groups.c.writer == gone[0].writer,
            row_groups.c.level == gone[0].level,
            row_groups.c.seq.in_(seqs),
        )
    )


def _groups(run_id: uuid.UUID, writer: str, level: int) -> Select[Any]:
    return select(*_LISTED).where(
        row_groups.c.run_id == run_id,
        row_groups.c.writer == writer,
        row_groups.c.level == level,
    )


def _group(row: Row[Any]) -> Group:
    return Group(**row._asdict())


def _is(run_id: uuid.UUID, group: Group) -> tuple[Any, ...]:
    return (
        row_groups.c.run_id == run_id,
        row_groups.c.writer == group.writer,
        row_groups.c.level == group.level,
        row_groups.c.seq == group.seq,
    )
