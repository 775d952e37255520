"""The log of frames: appended, replayed in the order of the fold, searched by step."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, bindparam, insert, select, update

from gradwatch_service.domain import Frame, IntArray
from gradwatch_service.errors import Conflict
from gradwatch_service.store import chunks, groups, packing, tilings
from gradwatch_service.store.groups import Group, Reach
from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.tables import frames

_REPLAY_BATCH = 64

_insert = Prepared(insert(frames), frames.columns.keys())
_set_ordinal = (
    update(frames)
    .where(
        frames.c.run_id == bindparam("run"),
        frames.c.writer == bindparam("stream"),
        frames.c.seq == bindparam("at"),
    )
    .values(ordinal=bindparam("position"))
)


class Identity(NamedTuple):
    """Which frame."""

    run_id: uuid.UUID
    writer: str
    seq: int


def append(connection: Connection, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert frames, all of a group at once."""
    if rows:
        _insert.execute(connection, rows)


def set_ordinals(connection: Connection, ordinals: Mapping[Identity, int | None]) -> None:
    """Note where frames that had waited behind a gap stand in the fold; None: judging failed."""
    if ordinals:
        rows = [
            {"run": key.run_id, "stream": key.writer, "at": key.seq, "position": ordinal}
            for key, ordinal in ordinals.items()
        ]
        connection.execute(_set_ordinal, rows)


def digest(connection: Connection, identity: Identity) -> bytes | None:
    """The digest under which this frame was stored; None if it was not."""
    query = select(frames.c.digest).where(*_is(identity))
    return connection.execute(query).scalar()


def frame(connection: Connection, identity: Identity) -> Frame:
    """One stored frame."""
    body: bytes = connection.execute(select(frames.c.body).where(*_is(identity))).scalar_one()
    if body:
        return packing.unpack(body)
    run_id, writer, seq = identity
    (group,) = groups.reaching(connection, run_id, writer, 0, Reach((seq, seq)))
    log = chunks.frames_of(connection, run_id, group)
    return next(found for member, found in log if member.seq == seq)


def waiting(
    connection: Connection, run_id: uuid.UUID, writer: str, next_seq: int
) -> tuple[int, ...]:
    """The seqs of a writer that wait behind a gap, in order."""
    query = (
        select(frames.c.seq)
        .where(frames.c.run_id == run_id, frames.c.writer == writer, frames.c.seq >= next_seq)
        .order_by(frames.c.seq)
    )
    return tuple(connection.execute(query).scalars())


class Logged(NamedTuple):
    """A frame that has its place in the fold: that of its first report."""

    seq: int
    place: int
    frame: Frame


def folded(connection: Connection, run_id: uuid.UUID, writer: str, seqs: range) -> Iterator[Logged]:
    """Those of a writer's frames that have their place in the fold, in its order.

    First those in tiles, then those that still have a body.

    Raises:
        Conflict: they are no longer kept.
    """
    if seqs.start < tilings.find(connection, run_id, writer).kept_seq:
        raise Conflict(
            "the earlier reports of this writer are no longer kept: open a new launch to go on",
            code="no-longer-kept",
        )
    first = seqs.start
    while first < seqs.stop:
        for logged in _tiled(connection, run_id, writer, range(first, seqs.stop)):
            yield logged
            first = logged.seq + 1
        rows = connection.execute(_log(run_id, writer, range(first, seqs.stop))).all()
        for row in takewhile(lambda row: row.body, rows):  # empty: put into tiles since we looked
            yield Logged(row.seq, row.ordinal, packing.unpack(row.body))
            first = row.seq + 1
        if len(rows) < _REPLAY_BATCH and all(row.body for row in rows):
            return


def _tiled(connection: Connection, run_id: uuid.UUID, writer: str, seqs: range) -> Iterator[Logged]:
    """The folded frames that lie in tiles."""
    for group in groups.reaching(connection, run_id, writer, 0, Reach((seqs.start, seqs.stop - 1))):
        places = _places(connection, run_id, writer, group)
        for member, found in chunks.frames_of(connection, run_id, group):
            if member.folded and member.seq in seqs:
                yield Logged(member.seq, places[member.seq], found)


def _places(connection: Connection, run_id: uuid.UUID, writer: str, group: Group) -> dict[int, int]:
    """Where the frames of a group have their place in the fold, by seq."""
    query = select(frames.c.seq, frames.c.ordinal).where(
        frames.c.run_id == run_id,
        frames.c.writer == writer,
        frames.c.seq.between(group.seq, group.seq_last),
        frames.c.ordinal.is_not(None),
    )
    return {row.seq: row.ordinal for row in connection.execute(query)}


def holding(
    connection: Connection, run_id: uuid.UUID, writer: str, steps: IntArray
) -> Iterator[Frame]:
    """All frames of a writer that hold one of these steps, and maybe more; others stay packed."""
    first, last = int(steps.min()), int(steps.max())
    for body in _bodies(connection, run_id, writer, first, last):
        if np.isin(packing.read_steps(packing.read_fields(body)), steps).any():
            yield packing.unpack(body)
    for group in groups.reaching(connection, run_id, writer, 0, Reach(steps=(first, last))):
        if np.isin(group.step_list(), steps).any():
            for _, found in chunks.frames_of(connection, run_id, group):
                yield found


def stored_steps(
    connection: Connection, run_id: uuid.UUID, writer: str, first: int, last: int
) -> frozenset[int]:
    """The steps of all frames of a writer that reach into ``first`` … ``last``, and maybe more."""
    found = {
        step
        for body in _bodies(connection, run_id, writer, first, last)
        for step in packing.read_steps(packing.read_fields(body)).tolist()
    }
    for group in groups.reaching(connection, run_id, writer, 0, Reach(steps=(first, last))):
        found.update(group.step_list().tolist())
    return frozenset(found)


def _bodies(
    connection: Connection, run_id: uuid.UUID, writer: str, first: int, last: int
) -> Iterator[bytes]:
    """Those that are in no tile, of frames that reach into these steps."""
    query = select(frames.c.body).where(
        frames.c.run_id == run_id,
        frames.c.writer == writer,
        frames.c.seq >= tilings.find(connection, run_id, writer).next_seq,
        frames.c.step_max >= first,
        frames.c.step_min <= last,
    )
    return filter(None, connection.execute(query).scalars())


def _log(run_id: uuid.UUID, writer: str, seqs: range) -> Select[tuple[int, int, bytes]]:
    """The next folded frames, as they lie in the log."""
    return (
        select(frames.c.seq, frames.c.ordinal, frames.c.body)
        .where(
            frames.c.run_id == run_id,
            frames.c.writer == writer,
            frames.c.seq >= seqs.start,
            frames.c.seq < seqs.stop,
            frames.c.ordinal.is_not(None),
        )
        .order_by(frames.c.seq)
        .limit(_REPLAY_BATCH)
    )


def _is(identity: Identity) -> tuple[ColumnElement[bool], ...]:
    return (
        frames.c.run_id == identity.run_id,
        frames.c.writer == identity.writer,
        frames.c.seq == identity.seq,
    )
