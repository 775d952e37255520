"""Ties runs to the life of their process: a forked child starts afresh, an ending one says so."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

EXIT_SECONDS = 2.0
LOADING_SECONDS = 2.0


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


class _Gate:
    """A fork waits while a thread of ours loads modules: the child would have halves of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Load modules."""
        with self._lock:
            yield

    def close(self) -> None:
        """Wait, but not for long, before a fork."""
        if self._lock.acquire(timeout=LOADING_SECONDS):
            self._holder = threading.get_ident()

    def open(self) -> None:
        """Go on after it, in the parent."""
        if self._holder == threading.get_ident():
            self._holder = None
            self._lock.release()

    def renew(self) -> None:
        """Forget, in the child, who was loading."""
        self._lock, self._holder = threading.Lock(), None


gate = _Gate()


def _after_fork() -> None:
    gate.renew()
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
    os.register_at_fork(before=gate.close, after_in_parent=gate.open, after_in_child=_after_fork)
atexit.register(finish_all)
