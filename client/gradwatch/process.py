"""Ties runs to the life of their process: a forked child starts afresh, an ending one says so."""

from __future__ import annotations

import atexit
import os
import sys
import time
from typing import Protocol

EXIT_SECONDS = 2.0


class Living(Protocol):
    """A run that has not been finished."""

    def rebuild_after_fork(self) -> None:
        """Replace everything that another thread of the parent may hold."""
        ...

    def begin_finish(self, state: str) -> None:
        """Start delivering what is left."""
        ...

    def await_finish(self, timeout_seconds: float) -> bool:
        """Wait for that; warn if it took too long."""
        ...


_living: set[Living] = set()


def adopt(run: Living) -> None:
    """Take care of a run until it is released."""
    _living.add(run)


def release(run: Living) -> None:
    """A run is finished and delivered."""
    _living.discard(run)


def _after_fork() -> None:
    for run in list(_living):
        run.rebuild_after_fork()


def finish_all() -> None:
    """Finish every run in at most two seconds; after an uncaught exception they have failed."""
    state = "failed" if getattr(sys, "last_value", None) is not None else "finished"
    runs = list(_living)
    for run in runs:
        run.begin_finish(state)
    deadline = time.monotonic() + EXIT_SECONDS
    for run in runs:
        run.await_finish(max(0.0, deadline - time.monotonic()))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(finish_all)
