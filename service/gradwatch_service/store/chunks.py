"""The tiles of row groups: written whole, read whole or by the column."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from gradwatch_service.domain import Frame
from gradwatch_service.store import groups, tiles
from gradwatch_service.store.groups import Group
from gradwatch_service.store.row_groups import TIME, Member, Outline, Part, RowGroup
from gradwatch_service.store.tables import chunks, row_groups
from gradwatch_service.store.tiles import Values

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
class Written:
    """A group to insert: its row, and its tiles."""

    row: Mapping[str, object]
    tiles: Sequence[Mapping[str, object]]

    def insert(self, connection: Connection) -> None:
        """Insert it all."""
        connection.execute(_insert_group, self.row)
        if self.tiles:
            connection.execute(_insert_chunks, self.tiles)


def frames_of(
    connection: Connection, run_id: uuid.UUID, group: Group
) -> Iterator[tuple[Member, Frame]]:
    """The frames of a group of whole reports."""
    query = select(row_groups.c.time, row_groups.c.outline).where(*groups.is_group(run_id, group))
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
    parts = {part for group in gone for part in groups.outline(connection, run_id, group).widths}
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
    groups.remove(connection, run_id, gone)
