"""The path of data points: each value of a step is new by itself, whatever else it came with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from gradwatch_service.domain import (
    MISSING32,
    MISSING64,
    Float32Array,
    FloatArray,
    Frame,
    IntArray,
    LayerTable,
    is_missing,
)
from gradwatch_service.ingest import own
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.placed import Placed
from gradwatch_service.ingest.pushes import PointsPush
from gradwatch_service.ingest.run_view import RunDraft
from gradwatch_service.ingest.step_tables import arrange, extend
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store import frames, packing

# A time is looked for among so many of the newest steps, and as many as its request counts: who
# repeats a push does so soon.
STEPS_LOOKED_AT = 64

_ONE = np.zeros((2, 1), np.int64)  # a scalar is a block of one column

T = TypeVar("T")
Block = TypeVar("Block", FloatArray, Float32Array)


def place_points(group: Group, push: PointsPush) -> Placed:
    """Store the values that the simple path has not yet stored in the current attempt.

    Raises:
        NotFound: there is no such run for the sender.
        TooLarge: the run would have too many layers.
    """
    run = group.run(push.run_id, push.project)
    head = run.view.head
    table = run.extended or group.sources.table(head, head.layers_hash)
    wider = extend(table, push.layer_names)
    stream = group.stream(run, own.name(own.STEPS, head.attempt), wider)
    numbered = _numbered(group, run, stream, push)
    arranged = arrange(numbered, wider, np.ones(len(push.frame), np.bool_))
    frame = _unseen(group, run, stream, arranged, wider)
    duplicates = len(push.frame) - len(frame)
    if not len(frame):
        return Placed(run, stream, accepted=0, duplicates=duplicates, position=stream.position)
    if wider is not table:
        run.extended = wider
        group.ledger.tables.append((run.run_id, wider))
    seq = stream.position.next_seq
    placed = group.accept(run, stream, Arrival(seq, push.digest, frame, packing.pack(frame), wider))
    return replace(placed, duplicates=duplicates)


def _numbered(group: Group, run: RunDraft, stream: Stream, push: PointsPush) -> PointsPush:
    """The push with its steps as they are, or counted on from the newest of the stream."""
    if not push.counted:
        return push
    last = -1 if stream.last_step is None else stream.last_step
    first = max(last - STEPS_LOOKED_AT - push.counted, 0)
    stored = _stored(group, run, stream, np.arange(first, last + 1)) if last >= 0 else ()
    known = {time: step for frame, _ in stored for time, step in _moments(frame)}
    steps = []
    for time in push.frame.time.tolist():
        last = last if time in known else last + 1
        steps.append(known.setdefault(time, last))
    return replace(push, frame=replace(push.frame, steps=np.array(steps, np.int64)))


def _stored(
    group: Group, run: RunDraft, stream: Stream, steps: IntArray
) -> Iterator[tuple[Frame, LayerTable]]:
    """A stream's frames that hold one of these steps, and maybe more; their tables."""
    connection = group.sources.connection
    for frame in frames.holding(connection, run.run_id, stream.writer, steps):
        yield frame, group.sources.table(run.view.head, frame.layers_hash)
    for (writer, _), arrival in run.arrivals.items():
        if writer == stream.writer:
            yield arrival.frame, arrival.layers


def _moments(frame: Frame) -> Iterator[tuple[float, int]]:
    return zip(frame.time.tolist(), frame.steps.tolist(), strict=True)


def _unseen(group: Group, run: RunDraft, stream: Stream, new: Frame, table: LayerTable) -> Frame:
    """The frame without the values that are stored, and without the steps that are left empty."""
    if stream.last_step is None or int(new.steps.min()) > stream.last_step:
        return new
    for stored, of in _stored(group, run, stream, new.steps):
        new = _without(new, table, stored, of)
    return _filled(new)


def _without(new: Frame, table: LayerTable, stored: Frame, of: LayerTable) -> Frame:
    rows = _shared({step: row for row, step in enumerate(new.steps.tolist())}, stored.steps)
    if not rows.size:
        return new
    columns = _shared(table.column, of.names)
    return replace(
        new,
        scalars={
            name: _blanked(column[:, None], stored.scalars.get(name), rows, _ONE)[:, 0]
            for name, column in new.scalars.items()
        },
        layers={
            name: _blanked(block, stored.layers.get(name), rows, columns)
            for name, block in new.layers.items()
        },
    )


def _shared(place: Mapping[T, int], theirs: Iterable[T]) -> IntArray:
    """The places [2, n] of what both have: mine, and theirs."""
    pairs = [(place[item], at) for at, item in enumerate(theirs) if item in place]
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _blanked(mine: Block, theirs: Block | None, rows: IntArray, columns: IntArray) -> Block:
    """A block in which is missing what the other has in the same place."""
    if theirs is None:
        return mine
    known = ~is_missing(np.ascontiguousarray(theirs.reshape(len(theirs), -1)))
    here, there = (np.ix_(rows[side], columns[side]) for side in range(2))
    blanked = mine.copy()
    missing = MISSING32 if mine.dtype == np.float32 else MISSING64
    blanked[here] = np.where(known[there], missing, mine[here])
    return blanked


def _filled(frame: Frame) -> Frame:
    """The rows in which anything is left."""
    keep = np.zeros(len(frame), np.bool_)
    for column in frame.scalars.values():
        keep |= ~is_missing(column)
    for block in frame.layers.values():
        keep |= (~is_missing(block)).any(axis=1)
    return replace(
        frame,
        steps=frame.steps[keep],
        time=frame.time[keep],
        scalars={name: column[keep] for name, column in frame.scalars.items()},
        layers={name: block[keep] for name, block in frame.layers.items()},
    )
