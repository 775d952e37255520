"""Coarser levels of long runs: of every 64 rows the extremes, sixteen groups at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
from sqlalchemy import Connection

from gradwatch_service.domain import MISSING32, MISSING64, IntArray
from gradwatch_service.errors import Conflict
from gradwatch_service.store import chunks, groups, tiles, tilings
from gradwatch_service.store.buckets import FACTOR, PLANES, Buckets, joined, merged, of_rows
from gradwatch_service.store.chunks import Written
from gradwatch_service.store.groups import Group
from gradwatch_service.store.row_groups import PROFILE, SCALAR, Outline, Part
from gradwatch_service.store.tiles import WIDTH, Values

GROUPS = 16
HIGHEST = 2


@dataclass(frozen=True, slots=True)
class Raised:
    """A group of a coarser level, ready to be written."""

    run_id: uuid.UUID
    written: Written

    def write(self, connection: Connection) -> None:
        """Write it.

        Raises:
            Conflict: another worker was faster, or the run is gone.
        """
        row = self.written.row
        tilings.hold(connection, self.run_id, str(row["writer"]))
        if groups.exists(connection, self.run_id, row):
            raise Conflict("another worker has written this group")
        self.written.insert(connection)


def raised(
    connection: Connection, run_id: uuid.UUID, writer: str, level: int, *, least: int = GROUPS
) -> Raised | None:
    """The next group of ``level`` from those below; None while there are fewer than ``least``."""
    below = [g for g in groups.uncovered(connection, run_id, writer, level - 1, GROUPS) if g.rows]
    if not below or len(below) < least:
        return None
    sources = list(takewhile(lambda group: group.layers_hash == below[0].layers_hash, below))
    widths = {
        part: width
        for group in sources
        for part, width in groups.outline(connection, run_id, group).widths.items()
        if part.kind != PROFILE
    }
    steps = np.concatenate([group.step_list() for group in sources])
    base = np.minimum.reduceat(steps, np.arange(0, len(steps), FACTOR))
    row = _row(run_id, level, sources, base, Outline((), (), widths))
    packed = [
        _packed(run_id, row, part, number, merged(fine).planes())
        for part, width in widths.items()
        for number, fine in enumerate(_tiles(connection, run_id, sources, part, width))
    ]
    return Raised(run_id, Written(row, packed))


def column(body: bytes, group: Group, part: Part, at: int) -> Buckets:
    """One column of a tile of a coarser level."""
    places = range(at * len(PLANES), (at + 1) * len(PLANES))
    planes = tiles.decode_columns(body, _unsigned(part), group.rows, places)
    return Buckets.of_planes(group.step_list(), planes.T)


def columns(body: bytes, group: Group, part: Part) -> Buckets:
    """All columns of a tile of a coarser level."""
    planes = tiles.decode(body, _unsigned(part), group.rows)
    return Buckets.of_planes(group.step_list(), planes.T)


def _row(
    run_id: uuid.UUID, level: int, sources: Sequence[Group], base: IntArray, outline: Outline
) -> dict[str, object]:
    first, last = sources[0], sources[-1]
    return {
        "run_id": run_id,
        "writer": first.writer,
        "level": level,
        "seq": first.seq,
        "seq_last": last.seq_last,
        "attempt": first.attempt,
        "layers_hash": first.layers_hash,
        "step_min": min(group.step_min or 0 for group in sources),
        "step_max": max(group.step_max or 0 for group in sources),
        "rows": len(base),
        "received_at": max(group.received_at for group in sources),
        "steps": tiles.pack(base),
        "time": b"",
        "outline": outline.encode(),
    }


def _tiles(
    connection: Connection, run_id: uuid.UUID, sources: Sequence[Group], part: Part, width: int
) -> Iterator[Buckets]:
    """Tile by tile, what the sources hold of a part."""
    found = {
        (row.seq, row.tile): row.body for row in chunks.bodies(connection, run_id, part, sources)
    }
    steps = [group.step_list() for group in sources]
    for number, start in enumerate(range(0, width, WIDTH)):
        tile = [
            (found.get((group.seq, number)), group, base)
            for group, base in zip(sources, steps, strict=True)
        ]
        of_width = min(WIDTH, width - start)
        if sources[0].level:
            yield joined([_buckets(*one, part, of_width) for one in tile])
        else:
            rows = [_rows(body, group, part, of_width) for body, group, _ in tile]
            yield of_rows(np.concatenate(steps), np.concatenate(rows))


def _buckets(body: bytes | None, group: Group, base: IntArray, part: Part, width: int) -> Buckets:
    if body is None:
        return of_rows(base, _nothing(group, part, width))
    return columns(body, group, part)


def _rows(body: bytes | None, group: Group, part: Part, width: int) -> Values:
    if body is None:
        return _nothing(group, part, width)
    return tiles.decode(body, part.dtype, group.rows).T


def _nothing(group: Group, part: Part, width: int) -> Values:
    """What was measured where a group has no tile."""
    missing = MISSING64 if part.kind == SCALAR else MISSING32
    return np.full((group.rows, width), missing, part.dtype)


def _packed(
    run_id: uuid.UUID, row: Mapping[str, object], part: Part, number: int, planes: Values
) -> Mapping[str, object]:
    """A tile of planes, however wide, as the one row it is."""
    return {
        "run_id": run_id,
        **part._asdict(),
        "tile": number,
        **{key: row[key] for key in ("writer", "level", "seq")},
        "body": tiles.encode(tiles.differences(planes)),
    }


def _unsigned(part: Part) -> np.dtype[Any]:
    return np.dtype(f"<u{part.dtype.itemsize}")
