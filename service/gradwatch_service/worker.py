"""What has to happen without anybody asking: one tick after the other, in a thread or a process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from gradwatch_service.api.backend import Backend
from gradwatch_service.store.silence import silences

log = logging.getLogger(__name__)

TICK_DEADLINE_SECONDS = 60.0


def tick(served: Backend) -> None:
    """Do once what the worker is for: note which runs have gone silent, keep the ballast."""
    served.ballast.restore()
    with served.reading() as connection:
        found = silences(connection, served.clock())
    noted = [(silence, served.writer.submit(silence)) for silence in found]
    for silence, future in noted:
        future.result(TICK_DEADLINE_SECONDS)
        log.info("run %s has been silent for %.0f s", silence.run_id, silence.seconds)


def run_worker(work: Callable[[], None], pause_seconds: float, stop: threading.Event) -> None:
    """Tick until told to stop."""
    while not stop.wait(pause_seconds):
        try:
            work()
        except Exception:  # whatever one tick meets, the next one is due
            log.exception("a worker tick failed; the next is in %g s", pause_seconds)
