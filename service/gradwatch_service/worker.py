"""What has to happen without anybody asking: one tick after the other, in a thread or a process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gradwatch_service.clock import Clock
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store.silence import mark_stale

log = logging.getLogger(__name__)

TICK_DEADLINE_SECONDS = 60.0


def tick(writer: Writer, clock: Clock) -> None:
    """Do once what the worker is for: mark the runs that have gone silent."""
    now = clock()
    stale = writer.run(lambda connection: mark_stale(connection, now))
    for run_id in stale.result(TICK_DEADLINE_SECONDS):
        log.info("run %s has gone silent", run_id)


def run_worker(work: Callable[[], None], pause_seconds: float, stop: threading.Event) -> None:
    """Tick until told to stop."""
    while not stop.wait(pause_seconds):
        try:
            work()
        except Exception:  # whatever one tick meets, the next one is due
            log.exception("a worker tick failed; the next is in %g s", pause_seconds)
