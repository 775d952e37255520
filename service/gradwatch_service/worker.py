"""What has to happen without anybody asking: one tick after the other, in a thread or a process."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Callable
from typing import Protocol

from sqlalchemy import Connection

from gradwatch_service import memory
from gradwatch_service.api.backend import Backend
from gradwatch_service.errors import Conflict, ServiceError
from gradwatch_service.ingest.pushes import Judgement
from gradwatch_service.store import retention, tilings, writers
from gradwatch_service.store.compaction import sealed
from gradwatch_service.store.levels import HIGHEST, raised
from gradwatch_service.store.silence import silences
from gradwatch_service.store.tilings import Due

log = logging.getLogger(__name__)

TICK_DEADLINE_SECONDS = 60.0
FORSAKEN_SECONDS = 10.0
GROUPS_PER_TICK = 256
# While pushes keep the writer busy: compaction takes the same processors, and catches up later.
BUSY, GROUPS_WHEN_BUSY = 0.5, 4
PORTIONS_PER_TICK = 16


class Change(Protocol):
    """Something prepared outside a transaction, to be written within one."""

    def write(self, connection: Connection) -> None:
        """Write it; a Conflict says that what it was based on has moved."""


def tick(served: Backend) -> None:
    """Do once what the worker is for, the most urgent first."""
    served.ballast.restore()
    judge_forsaken(served, served.clock() - dt.timedelta(seconds=FORSAKEN_SECONDS))
    note_silences(served)
    compact(served, GROUPS_WHEN_BUSY if served.writer.load.share > BUSY else GROUPS_PER_TICK)
    prune(served)
    memory.give_back()


def note_silences(served: Backend) -> None:
    """Note which runs have gone silent."""
    with served.reading() as connection:
        found = silences(connection, served.clock())
    noted = [(silence, served.writer.submit(silence)) for silence in found]
    for silence, future in noted:
        future.result(TICK_DEADLINE_SECONDS)
        log.info("run %s has been silent for %.0f s", silence.run_id, silence.seconds)


def judge_forsaken(served: Backend, since: dt.datetime) -> None:
    """Judge what was stored before this by a process that is no more."""
    with served.reading() as connection:
        forsaken = writers.runs_unjudged(connection, since)
    for run_id in forsaken:
        try:
            served.writer.submit(Judgement(run_id)).result(TICK_DEADLINE_SECONDS)
        except ServiceError as error:
            log.warning("what is stored of run %s is still to be judged: %s", run_id, error.detail)


def compact(served: Backend, most: int = GROUPS_PER_TICK) -> int:
    """Put folded reports into tiles, a group of each writer in turn; returns how many."""
    done = 0
    while done < most:
        with served.reading() as connection:
            found = tilings.due(connection, served.clock(), most - done)
        sealed_now = sum(_seal(served, due) for due in found)
        if not sealed_now:
            break
        done += sealed_now
    return done


def prune(served: Backend, most: int = PORTIONS_PER_TICK) -> int:
    """Remove what is older than it shall be kept, a portion at a time; returns how many."""
    settings = served.settings
    for done in range(most):
        with served.reading() as connection:
            portion = retention.portion(
                connection, served.clock(), settings.retention, settings.retention_projects
            )
        if portion is None or not _write(served, portion):
            return done
    return most


def _seal(served: Backend, due: Due) -> bool:
    """One group of a writer, and the coarser ones that it completes."""
    with served.reading() as connection:
        group = sealed(connection, due)
    if group is None or not _write(served, group):
        return False
    for level in range(1, HIGHEST + 1):
        if not _raise(served, due.run_id, due.writer, level):
            break
    return True


def _raise(served: Backend, run_id: uuid.UUID, writer: str, level: int) -> bool:
    with served.reading() as connection:
        group = raised(connection, run_id, writer, level)
    return group is not None and _write(served, group)


def _write(served: Backend, change: Change) -> bool:
    """Write it; False if another was faster, and the next tick shall look again."""
    try:
        served.writer.run(change.write).result(TICK_DEADLINE_SECONDS)
    except Conflict as conflict:
        log.info("not written: %s", conflict.detail)
        return False
    return True


def run_worker(work: Callable[[], None], pause_seconds: float, stop: threading.Event) -> None:
    """Tick until told to stop."""
    while not stop.wait(pause_seconds):
        try:
            work()
        except Exception:  # whatever one tick meets, the next one is due
            log.exception("a worker tick failed; the next is in %g s", pause_seconds)
