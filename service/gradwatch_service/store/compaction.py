"""Puts the frames of a writer into tiles: 512 reports a group, in one transaction, or not at all.

Reading, gathering and compressing happen outside the transaction that writes. It compares: the
frames must be as they were read, and no other worker may have been faster.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Row, bindparam, select, update

from gradwatch_service.domain import Frame
from gradwatch_service.errors import Conflict
from gradwatch_service.store import chunks, packing, tiles, tilings
from gradwatch_service.store.chunks import Written
from gradwatch_service.store.row_groups import Form, Logged, Part, gather, widen
from gradwatch_service.store.tables import frames
from gradwatch_service.store.tilings import ROWS, Due, Tiling

MOST_ROWS = 1_024
MOST_CELLS = 8 * 2**20
_BATCH = 64

_empty = (
    update(frames)
    .where(
        frames.c.run_id == bindparam("run"),
        frames.c.writer == bindparam("stream"),
        frames.c.seq == bindparam("at"),
        frames.c.digest == bindparam("known"),
    )
    .values(body=b"")
)


@dataclass(slots=True)
class _Growing:
    """A group while frames are added to it."""

    log: list[Logged] = field(default_factory=list)
    forms: set[Form] = field(default_factory=set)
    widths: dict[Part, int] = field(default_factory=dict)
    rows: int = 0
    layers_hash: str = ""

    def takes(self, frame: Frame) -> bool:
        """Whether there is room for a frame, of the same layers."""
        if not self.log:
            return True
        if frame.layers_hash and self.layers_hash not in {"", frame.layers_hash}:
            return False
        rows, widths, form = self.rows + len(frame), self.widths, Form.of(frame)
        if form not in self.forms:
            widths = dict(widths)
            widen(widths, form, frame)
        return rows <= MOST_ROWS and rows * sum(widths.values()) <= MOST_CELLS

    def add(self, entry: Logged) -> None:
        """Add a frame."""
        form = Form.of(entry.frame)
        if form not in self.forms and len(entry.frame):
            self.forms.add(form)
            widen(self.widths, form, entry.frame)
        self.log.append(entry)
        self.rows += len(entry.frame)
        self.layers_hash = self.layers_hash or entry.frame.layers_hash


@dataclass(frozen=True, slots=True)
class Sealed:
    """A group ready to be written: its frames as they were read, and how far the writer then is."""

    due: Due
    after: Tiling
    members: Sequence[tuple[int, bytes]]
    written: Written

    def write(self, connection: Connection) -> None:
        """Write the group and empty the frames.

        Frames first: whoever deletes the run goes in the same order; one waits for the other.

        Raises:
            Conflict: the frames have changed, or another worker was faster.
        """
        rows = [
            {"run": self.due.run_id, "stream": self.due.writer, "at": seq, "known": digest}
            for seq, digest in self.members
        ]
        if connection.execute(_empty, rows).rowcount != len(rows):
            raise Conflict("the frames are no longer what they were")
        tilings.move(connection, self.due, self.after)
        self.written.insert(connection)


def sealed(connection: Connection, due: Due) -> Sealed | None:
    """The next group of a writer; None if there is nothing to be done yet."""
    log, received_at = _next_log(connection, due)
    if not log:
        return None
    group = gather(log)
    last = log[-1]
    row = {
        "run_id": due.run_id,
        "writer": due.writer,
        "level": 0,
        "seq": log[0].seq,
        "seq_last": last.seq,
        "attempt": due.attempt,
        "layers_hash": group.layers_hash,
        "step_min": int(group.steps.min()) if len(group) else None,
        "step_max": int(group.steps.max()) if len(group) else None,
        "rows": len(group),
        "received_at": received_at,
        "steps": tiles.pack(group.steps),
        "time": tiles.pack(group.time),
        "outline": group.outline.encode(),
    }
    packed = [
        tile
        for part, block in group.blocks.items()
        for tile in chunks.packed(due.run_id, row, part, block)
    ]
    before = due.tiling
    after = Tiling(
        next_seq=last.seq + 1,
        ordinal=(last.ordinal or 0) + len(last.frame),
        gaps=before.gaps + last.seq + 1 - before.next_seq - len(log),
        kept_seq=before.kept_seq,
    )
    return Sealed(due, after, [(entry.seq, entry.digest) for entry in log], Written(row, packed))


def _next_log(connection: Connection, due: Due) -> tuple[list[Logged], dt.datetime | None]:
    """The frames of the next group, which ends with a folded one; none if it is not full yet.

    Frames that were never folded go with those around them; one that does not fit stays where it
    is, like one that comes too late.
    """
    growing, expected, passed = _Growing(), due.tiling.ordinal, list[Logged]()
    newest: dt.datetime | None = None
    for row in _scan(connection, due.run_id, due.writer, due.tiling.next_seq):
        if not (row.body and _is_next(row.ordinal, row.reports, expected, due.judged)):
            break
        entry = Logged(row.seq, row.digest, row.ordinal, packing.unpack(row.body))
        if entry.ordinal is None:
            passed.append(entry)
            continue
        if not growing.takes(entry.frame):
            return growing.log, newest
        for one in passed:
            if growing.takes(one.frame):
                growing.add(one)
        passed = []
        growing.add(entry)
        expected = row.ordinal + len(entry.frame)
        newest = max(newest or row.received_at, row.received_at)
        if growing.rows >= ROWS:
            return growing.log, newest
    return (growing.log if due.ended and growing.rows else []), newest


def _is_next(place: int | None, reports: int, expected: int, judged: int) -> bool:
    """Whether a frame is the next in the fold, and judged; or has no place there."""
    return place is None or expected <= place <= judged - reports


def _scan(
    connection: Connection, run_id: uuid.UUID, writer: str, first: int
) -> Iterator[Row[int, bytes, int | None, int, dt.datetime, bytes]]:
    while True:
        query = (
            select(
                frames.c.seq,
                frames.c.digest,
                frames.c.ordinal,
                frames.c.reports,
                frames.c.received_at,
                frames.c.body,
            )
            .where(frames.c.run_id == run_id, frames.c.writer == writer, frames.c.seq >= first)
            .order_by(frames.c.seq)
            .limit(_BATCH)
        )
        rows = connection.execute(query).all()
        yield from rows
        if len(rows) < _BATCH:
            return
        first = rows[-1].seq + 1
