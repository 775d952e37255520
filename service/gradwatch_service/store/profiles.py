"""The signal against depth, or against time, at one step: what the rules judge, to look at."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from gradwatch_service.detect.baseline import BLOCK, EMPTY
from gradwatch_service.detect.block import SIGNALS, Block, DepthProfile
from gradwatch_service.detect.fixedpoint import ONE_BIT, log2_fixed
from gradwatch_service.detect.rules.explosion_through_time import backward_slope, time_steps
from gradwatch_service.domain import MISSING32, Float32Array, FloatArray, IntArray, LayerTable
from gradwatch_service.store import chunks, groups, layers, packing, tilings
from gradwatch_service.store.row_groups import LAYER, PROFILE, Part
from gradwatch_service.store.spans import OWN, effective_until
from gradwatch_service.store.tables import frames, writers

NOTHING: IntArray = np.empty(0, np.int64)
TIME = Part(PROFILE, "time")


@dataclass(frozen=True, slots=True)
class DepthAt:
    """The profile of the reports of ``steps`` int64[≤ 16]; None: too few layers have a signal."""

    steps: IntArray
    layers: LayerTable
    fitted: DepthProfile | None


@dataclass(frozen=True, slots=True)
class TimeAt:
    """log2 of the gradient norm at each of T time steps, NaN where there is none.

    ``slope``: bits by which it grows per step back in time; None: too few to fit.
    """

    step: int
    bits: FloatArray
    slope: float | None


@dataclass(frozen=True, slots=True)
class _Source:
    """A frame or a group of one writer; ``read`` gives a part of it, float32[n, W], or None."""

    layers_hash: str
    steps: IntArray
    read: Callable[[Part], Float32Array | None]


def depth_at(connection: Connection, run_id: uuid.UUID, step: int) -> DepthAt:
    """The profile of the 16 reports that end at ``step``, of the writer who is furthest by then.

    Where ``step`` closes a block, as those do at which a rule fires, it is what the rule judged.
    """
    steps, table_hash, parts = NOTHING, "", dict[str, list[Float32Array]]()
    for source, rows in _backwards(connection, run_id, step):
        if not source.layers_hash or source.layers_hash != (table_hash or source.layers_hash):
            break
        table_hash = source.layers_hash
        kept = rows[-(BLOCK - len(steps)) :]
        steps = np.concatenate([source.steps[kept], steps])
        for signal in SIGNALS:
            block = source.read(Part(LAYER, signal))
            part = np.empty((len(kept), 0), np.float32) if block is None else block[kept]
            parts.setdefault(signal, []).insert(0, part)
        if len(steps) == BLOCK:
            break
    table = layers.read(connection, run_id, table_hash)
    rows_of = {name: _fixed(found, len(table)) for name, found in parts.items()}
    return DepthAt(steps, table, Block(table, rows_of).depth_profile if len(steps) else None)


def time_at(connection: Connection, run_id: uuid.UUID, step: int) -> TimeAt | None:
    """The newest profile through time at or before ``step``; None if there is none near."""
    for source, rows in _backwards(connection, run_id, step):
        block = source.read(TIME)
        if block is None:
            continue
        lengths = time_steps(block[rows])
        measured = np.flatnonzero(lengths)
        if len(measured):
            at = measured[-1]
            return _through_time(int(source.steps[rows[at]]), block[rows[at]], int(lengths[at]))
    return None


def _through_time(step: int, norms: Float32Array, length: int) -> TimeAt:
    slope, fitted = backward_slope(norms[None])
    known = norms[:length]
    there = np.isfinite(known) & (known > 0)
    bits = np.where(there, log2_fixed(known) / ONE_BIT, np.nan)
    return TimeAt(step, bits, float(slope[0]) if fitted[0] else None)


def _fixed(
    found: list[Float32Array], width: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """log2 of the reports' values, int32[n, L], EMPTY where there is no number."""
    filled = np.full((sum(map(len, found)), width), MISSING32)
    start = 0
    for part in found:
        filled[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return np.where(np.isfinite(filled), log2_fixed(filled), EMPTY).astype(np.int32)


def _backwards(
    connection: Connection, run_id: uuid.UUID, step: int
) -> Iterator[tuple[_Source, IntArray]]:
    """What the furthest writer reported, newest first, with the rows at or before ``step``."""
    furthest = _furthest(connection, run_id, step)
    if furthest is None:
        return
    writer, last = furthest
    for source in _sources(connection, run_id, writer, last):
        rows = np.flatnonzero(source.steps <= last)
        if len(rows):
            yield source, rows


def _furthest(connection: Connection, run_id: uuid.UUID, step: int) -> tuple[str, int] | None:
    """The writer that has come furthest by this step, of these the first by name; and how far."""
    until = effective_until(connection, run_id)
    query = select(writers.c.writer, writers.c.attempt, writers.c.last_step).where(
        writers.c.run_id == run_id,
        writers.c.first_step <= step,
        writers.c.writer.not_like(f"{OWN}%"),
    )
    found = [
        (-min(row.last_step, step, until[row.attempt] - 1), row.writer)
        for row in connection.execute(query)
    ]
    return (min(found)[1], -min(found)[0]) if found else None


def _sources(
    connection: Connection, run_id: uuid.UUID, writer: str, last: int
) -> Iterator[_Source]:
    query = (
        select(frames.c.layers_hash, frames.c.body)
        .where(
            frames.c.run_id == run_id,
            frames.c.writer == writer,
            frames.c.seq >= tilings.find(connection, run_id, writer).next_seq,
            frames.c.step_min <= last,
        )
        .order_by(frames.c.seq.desc())
        .limit(tilings.ROWS)
    )
    for row in connection.execute(query).yield_per(BLOCK):
        if row.body:
            steps = packing.read_steps(packing.read_fields(row.body))
            yield _Source(row.layers_hash, steps, _of_frame(row.body))
    for group in groups.newest(connection, run_id, writer, last):
        yield _Source(group.layers_hash, group.step_list(), _of_group(connection, run_id, group))


def _of_frame(body: bytes) -> Callable[[Part], Float32Array | None]:
    def read(part: Part) -> Float32Array | None:
        name = "layers" if part.kind == LAYER else "profiles"
        found = packing.read_block(body, name, part.metric)
        return None if found is None else found[1]

    return read


def _of_group(
    connection: Connection, run_id: uuid.UUID, group: groups.Group
) -> Callable[[Part], Float32Array | None]:
    def read(part: Part) -> Float32Array | None:
        found = chunks.block(connection, run_id, group, part, 0)
        return found if found.shape[1] else None

    return read
