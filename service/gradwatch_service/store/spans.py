"""What is to be read for some steps of a run: groups of tiles, and the frames in no tile yet.

Where fewer points will do, groups of a coarser level stand for those below them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, or_, select

from gradwatch_service.domain import MAX_STEP
from gradwatch_service.store import groups
from gradwatch_service.store.buckets import FACTOR
from gradwatch_service.store.groups import ALL, Group, Range, Reach
from gradwatch_service.store.levels import HIGHEST
from gradwatch_service.store.tables import attempts, frames, tilings, writers
from gradwatch_service.store.tilings import Tiling

OWN = "service/"  # how the streams begin that the service writes itself

_writers = (
    select(
        writers.c.writer,
        writers.c.attempt,
        writers.c.first_step,
        writers.c.last_step,
        writers.c.ordinal,
        *(func.coalesce(tilings.c[name], 0) for name in Tiling.__slots__),
    )
    .select_from(
        writers.outerjoin(
            tilings,
            and_(tilings.c.run_id == writers.c.run_id, tilings.c.writer == writers.c.writer),
        )
    )
    .where(writers.c.run_id == bindparam("run"))
)
_attempts = (
    select(attempts.c.number, attempts.c.resume_step)
    .where(attempts.c.run_id == bindparam("run"))
    .order_by(attempts.c.number.desc())
)
_overlapping = (
    select(frames.c.seq, frames.c.layers_hash, frames.c.body)
    .where(
        frames.c.run_id == bindparam("run"),
        frames.c.writer == bindparam("stream"),
        frames.c.step_max >= bindparam("low"),
        frames.c.step_min <= bindparam("high"),
    )
    .order_by(frames.c.seq)
)
_behind = _overlapping.where(frames.c.seq >= bindparam("next"))
_behind_or_late = _overlapping.where(
    or_(frames.c.seq >= bindparam("next"), frames.c.ordinal.is_(None))
)


@dataclass(frozen=True, slots=True)
class Window:
    """Steps ``first`` … ``last``; ``enough``: so many buckets will do; None: all rows.

    ``writers``: of each attempt the first few by name will do; None: all.
    """

    first: int = 0
    last: int = MAX_STEP
    enough: int | None = None
    writers: int | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """What one writer has for the steps ``first`` … ``last`` in which it is effective."""

    writer: str
    first: int
    last: int
    groups: Sequence[Group]
    frames: Sequence[Row[int, str, bytes]]

    def runs(self) -> Iterator[list[Group]]:
        """The groups, those of one level together."""
        for level in range(HIGHEST + 1):
            alike = [group for group in self.groups if group.level == level]
            if alike:
                yield alike


def spans(connection: Connection, run_id: uuid.UUID, window: Window) -> list[Span]:
    """One for each writer, sorted by name, whatever the database's collation."""
    rows = connection.execute(_writers, {"run": run_id}).all()
    until = _limits(connection, run_id, [(row.attempt, row.first_step) for row in rows])
    found = []
    read: Sequence[Any] = rows if window.writers is None else _few(rows, window.writers)
    for writer, attempt, first_step, last_step, ordinal, *position in read:
        steps = (window.first, min(window.last, until[attempt] - 1))
        if first_step is None or max(first_step, steps[0]) > min(last_step, steps[1]):
            continue
        top = _level(ordinal, (first_step, last_step), steps, window.enough)
        found.append(_span(connection, run_id, writer, Tiling(*position), steps, top))
    return sorted(found, key=lambda span: span.writer)


def _few(rows: Sequence[Any], most: int) -> list[Any]:
    """The rows of each attempt's first few writers, not counting the service's own streams."""
    of_attempt: dict[int, list[Any]] = {}
    for row in sorted(rows, key=lambda row: str(row.writer)):
        if row.first_step is not None and not row.writer.startswith(OWN):
            of_attempt.setdefault(row.attempt, []).append(row)
    return [row for some in of_attempt.values() for row in some[:most]]


def effective_until(connection: Connection, run_id: uuid.UUID) -> Mapping[int, int]:
    """Attempt -> the first step that a later attempt goes over again.

    An attempt that did not say where it resumed does so at its first reported step.
    """
    rows = connection.execute(_writers, {"run": run_id})
    return _limits(connection, run_id, [(row.attempt, row.first_step) for row in rows])


def _limits(
    connection: Connection, run_id: uuid.UUID, begun: Sequence[tuple[int, int | None]]
) -> Mapping[int, int]:
    """The same; ``begun``: attempt and first step of each writer."""
    first_steps: dict[int, int] = {}
    for attempt, step in begun:
        if step is not None:
            first_steps[attempt] = min(step, first_steps.get(attempt, step))
    until: dict[int, int] = {}
    limit = MAX_STEP + 1
    for number, resume_step in connection.execute(_attempts, {"run": run_id}):
        until[number] = limit
        start = resume_step if resume_step is not None else first_steps.get(number)
        limit = min(limit, limit if start is None else start)
    return until


def _span(
    connection: Connection,
    run_id: uuid.UUID,
    writer: str,
    tiling: Tiling,
    steps: Range,
    top: int,
) -> Span:
    """Frames first: one put into tiles meanwhile is then found twice, not never."""
    loose = _loose(connection, run_id, writer, tiling, steps)
    held = _covering(connection, run_id, writer, steps, top)
    if tiling.kept_seq:
        held = _filled(connection, run_id, held, writer, steps, (0, tiling.kept_seq - 1))
    late = [group for group in held if group.level == 0 and group.seq >= tiling.next_seq]
    kept = [row for row in loose if not any(g.seq <= row.seq <= g.seq_last for g in late)]
    return Span(writer, *steps, held, kept)


def _loose(
    connection: Connection, run_id: uuid.UUID, writer: str, tiling: Tiling, steps: Range
) -> list[Row[int, str, bytes]]:
    """Frames in no tile: those behind, and where some were missing, those that came too late."""
    values = {"run": run_id, "stream": writer, "next": tiling.next_seq}
    values |= {"low": steps[0], "high": steps[1]}
    query = _behind_or_late if tiling.gaps else _behind
    return [row for row in connection.execute(query, values) if row.body]


def _level(reports: int, known: Range, wanted: Range, enough: int | None) -> int:
    """The coarsest level that still has enough buckets."""
    if enough is None:
        return 0
    shown = min(known[1], wanted[1]) - max(known[0], wanted[0]) + 1
    rows, level = reports * shown / (known[1] - known[0] + 1), 0
    while level < HIGHEST and rows >= enough * FACTOR:
        rows, level = rows / FACTOR, level + 1
    return level


def _covering(
    connection: Connection, run_id: uuid.UUID, writer: str, steps: Range, top: int
) -> list[Group]:
    """Groups that hold the steps, each report once: of the coarsest level where one fits in."""
    chosen: list[Group] = []
    holes = [ALL]
    for level in range(top, -1, -1):
        found = [
            group
            for hole in holes
            for group in groups.reaching(connection, run_id, writer, level, Reach(hole, steps))
        ]
        chosen += [group for group in found if level == 0 or _is_within(group, steps)]
        holes = _holes(chosen)
    return chosen


def _filled(
    connection: Connection,
    run_id: uuid.UUID,
    chosen: Sequence[Group],
    writer: str,
    steps: Range,
    seqs: Range,
) -> list[Group]:
    """With coarser groups where nothing finer is kept."""
    filled = list(chosen)
    for level in range(1, HIGHEST + 1):
        for group in groups.reaching(connection, run_id, writer, level, Reach(seqs, steps)):
            if not any(one.seq <= group.seq_last and one.seq_last >= group.seq for one in filled):
                filled.append(group)
    return filled


def _is_within(group: Group, steps: Range) -> bool:
    return steps[0] <= (group.step_min or 0) and (group.step_max or 0) <= steps[1]


def _holes(chosen: Sequence[Group]) -> list[Range]:
    """The seqs that no chosen group covers."""
    found, start = [], 0
    for group in sorted(chosen, key=lambda group: group.seq):
        if group.seq > start:
            found.append((start, group.seq - 1))
        start = group.seq_last + 1
    return [*found, (start, ALL[1])]
