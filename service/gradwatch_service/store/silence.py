"""Runs that have gone silent: how long each may be, by its own pace, and which are for longer."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, RowMapping, and_, or_, select

from gradwatch_service.detect.rules.stale_run import StaleRun
from gradwatch_service.domain import Severity
from gradwatch_service.store.advice import OPEN_STATES
from gradwatch_service.store.tables import alerts, events, frames, runs, writers

PUSHES_TO_KNOW_PACE = 5
PATIENCE_AT_FIRST = 1800.0
PATIENCE_LEAST = 30.0
INTERVALS = 64
USUAL_INTERVALS, LONGEST_PAUSES = 5, 3
# Whoever says that, is then busy with something else than training steps.
BUSY = frozenset({"phase", "checkpoint"})

RULE = StaleRun()
ENDED = frozenset({"finished", "failed"})

_paces = select(
    runs.c.run_id,
    runs.c.attempt,
    runs.c.state,
    runs.c.pushes,
    runs.c.last_seen_at,
    runs.c.longest_pause_ms,
)


@dataclass(frozen=True, slots=True)
class Silence:
    """A run, after so many ``pushes`` last heard of at ``since``, is silent for ``seconds``.

    ``patience`` is usual. 0 seconds: the silence is over.
    """

    run_id: uuid.UUID
    pushes: int
    since: dt.datetime
    seconds: float
    patience: float

    @staticmethod
    def over(run_id: uuid.UUID, now: dt.datetime) -> Silence:
        """The run need not say anything any more."""
        return Silence(run_id, 0, now, seconds=0.0, patience=0.0)


def silences(connection: Connection, now: dt.datetime) -> tuple[Silence, ...]:
    """What there is to say now: runs that have just become stale, or critical, or have ended."""
    found = (_judged(connection, row, now) for row in _suspects(connection, now))
    return tuple(silence for silence in found if silence is not None)


def patience(pushes: int, intervals: Sequence[float], longest: float) -> float:
    """How many seconds a run may be silent.

    max(30 s, 5 P99 of the last 64 intervals between pushes, 3 times the longest pause of this
    launch); 1,800 s before its fifth push.
    """
    if pushes < PUSHES_TO_KNOW_PACE or not intervals:
        return PATIENCE_AT_FIRST
    high = sorted(intervals)[99 * (len(intervals) - 1) // 100]
    return max(PATIENCE_LEAST, USUAL_INTERVALS * high, LONGEST_PAUSES * longest)


def _suspects(connection: Connection, now: dt.datetime) -> Iterator[RowMapping]:
    """Runs silent for 30 s at least, with an open alert about it, or ended with open alerts."""
    recent = now - dt.timedelta(seconds=PATIENCE_LEAST)
    quiet = _paces.where(runs.c.state == "running", runs.c.last_seen_at < recent)
    yield from connection.execute(quiet).mappings().all()
    joined = _paces.join(alerts, alerts.c.run_id == runs.c.run_id)
    told = joined.where(
        alerts.c.state.in_(OPEN_STATES),
        alerts.c.rule == RULE.id,
        runs.c.state == "stale",
        alerts.c.severity < Severity.CRITICAL,
    )
    yield from connection.execute(told).mappings().all()
    over = joined.where(
        alerts.c.state.in_({"pending", *OPEN_STATES}),
        or_(
            runs.c.state == "finished",
            and_(
                runs.c.state == "failed",
                or_(alerts.c.severity < Severity.ERROR, alerts.c.rule == RULE.id),
            ),
        ),
    )
    yield from connection.execute(over.distinct()).mappings().all()


def _judged(connection: Connection, row: RowMapping, now: dt.datetime) -> Silence | None:
    if row["state"] not in {"running", "stale"}:
        return Silence.over(row["run_id"], now)
    seconds = (now - row["last_seen_at"]).total_seconds()
    factor = 1.0 if row["state"] == "running" else RULE.critical_factor
    longest = row["longest_pause_ms"] / 1000
    if seconds <= factor * LONGEST_PAUSES * longest:  # saves looking at the intervals
        return None
    allowed = _patience(connection, row, longest)
    if seconds <= factor * allowed:
        return None
    return Silence(row["run_id"], row["pushes"], row["last_seen_at"], seconds, allowed)


def _patience(connection: Connection, row: RowMapping, longest: float) -> float:
    heard = _push_times(connection, row["run_id"], row["attempt"])
    intervals = [(later - earlier).total_seconds() for earlier, later in pairwise(heard)]
    usual = patience(row["pushes"], intervals, longest)
    busy = bool(heard) and _is_busy(connection, row["run_id"], heard[-1])
    return max(usual, PATIENCE_AT_FIRST) if busy else usual


def _push_times(connection: Connection, run_id: uuid.UUID, attempt: int) -> list[dt.datetime]:
    """When the last 65 pushes of the furthest writer came, oldest first."""
    furthest = (
        select(writers.c.writer)
        .where(
            writers.c.run_id == run_id,
            writers.c.attempt == attempt,
            writers.c.first_step.is_not(None),
        )
        .order_by(writers.c.last_step.desc(), writers.c.writer)
        .limit(1)
    )
    query = (
        select(frames.c.received_at)
        .where(
            frames.c.run_id == run_id,
            frames.c.writer == furthest.scalar_subquery(),
            frames.c.reports > 0,
        )
        .order_by(frames.c.seq.desc())
        .limit(INTERVALS + 1)
    )
    return sorted(connection.execute(query).scalars())


def _is_busy(connection: Connection, run_id: uuid.UUID, since: dt.datetime) -> bool:
    """Whether the last thing the job said is that it does something else."""
    query = (
        select(events.c.kind)
        .where(events.c.run_id == run_id, events.c.received_at >= since)
        .order_by(events.c.received_at.desc(), events.c.event_id.desc())
        .limit(1)
    )
    return connection.execute(query).scalar() in BUSY
