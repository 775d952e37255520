"""What has to happen without anybody asking: one tick after the other, in a thread or a process."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable

from gradwatch_service.api.backend import Backend
from gradwatch_service.errors import ServiceError
from gradwatch_service.ingest.pushes import Judgement
from gradwatch_service.store import writers
from gradwatch_service.store.silence import silences

log = logging.getLogger(__name__)

TICK_DEADLINE_SECONDS = 60.0
FORSAKEN_SECONDS = 10.0


def tick(served: Backend) -> None:
    """Do once what the worker is for: keep the ballast, judge what was left, note silent runs."""
    now = served.clock()
    served.ballast.restore()
    judge_forsaken(served, now - dt.timedelta(seconds=FORSAKEN_SECONDS))
    with served.reading() as connection:
        found = silences(connection, now)
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


def run_worker(work: Callable[[], None], pause_seconds: float, stop: threading.Event) -> None:
    """Tick until told to stop."""
    while not stop.wait(pause_seconds):
        try:
            work()
        except Exception:  # whatever one tick meets, the next one is due
            log.exception("a worker tick failed; the next is in %g s", pause_seconds)
