"""The log of frames: appended, replayed in the order of the fold, searched by step."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from gradwatch_service.domain import Frame
from gradwatch_service.store import packing
from gradwatch_service.store.tables import frames

_REPLAY_BATCH = 64

_insert = insert(frames)
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
        connection.execute(_insert, rows)


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
    return packing.unpack(body)


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
    """Those of a writer's frames that have their place in the fold, in its order."""
    first_seq = seqs.start
    while True:
        query = (
            select(frames.c.seq, frames.c.ordinal, frames.c.body)
            .where(
                frames.c.run_id == run_id,
                frames.c.writer == writer,
                frames.c.seq >= first_seq,
                frames.c.seq < seqs.stop,
                frames.c.ordinal.is_not(None),
            )
            .order_by(frames.c.seq)
            .limit(_REPLAY_BATCH)
        )
        rows = connection.execute(query).all()
        for row in rows:
            yield Logged(row.seq, row.ordinal, packing.unpack(row.body))
        if len(rows) < _REPLAY_BATCH:
            return
        first_seq = rows[-1].seq + 1


def stored_steps(
    connection: Connection, run_id: uuid.UUID, writer: str, first: int, last: int
) -> frozenset[int]:
    """The steps of all frames of a writer that reach into ``first`` … ``last``."""
    query = select(frames.c.body).where(
        frames.c.run_id == run_id,
        frames.c.writer == writer,
        frames.c.step_max >= first,
        frames.c.step_min <= last,
    )
    bodies = connection.execute(query).scalars()
    return frozenset(
        step for body in bodies for step in packing.read_steps(packing.read_fields(body)).tolist()
    )


def _is(identity: Identity) -> tuple[ColumnElement[bool], ...]:
    return (
        frames.c.run_id == identity.run_id,
        frames.c.writer == identity.writer,
        frames.c.seq == identity.seq,
    )
