"""A daemon thread that turns something again and again, rests between, and lets no error out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from gradwatch.pause import Patience, Pause

logger = logging.getLogger("gradwatch")


class Turned(Protocol):
    """What a thread turns."""

    def turn(self) -> Pause | None:
        """Do the next thing, and say how long to wait after it; None: that was the last."""
        ...

    def abandon(self) -> Pause:
        """Give up what a defect has interrupted."""
        ...


class Engine:
    """``end`` is called in the thread after the last turn."""

    def __init__(self, name: str, turned: Turned, end: Callable[[], None]) -> None:
        self._name = name
        self._turned = turned
        self._end = end
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._wake = threading.Event()
        self._urge = threading.Event()

    @property
    def is_started(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller runs in it, through a logging handler for instance."""
        return self._thread is threading.current_thread()

    def start(self) -> None:
        """Start the thread, once.

        Raises:
            RuntimeError: there are no more threads, or the interpreter is ending.
        """
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def urge(self) -> None:
        """Try now, even in the middle of a backoff."""
        self._urge.set()
        self._wake.set()

    def _run(self) -> None:
        while (pause := self._turn()) is not None:
            if pause.seconds > 0:
                self._rest(pause)
        self._end()

    def _turn(self) -> Pause | None:
        try:
            return self._turned.turn()
        except Exception:  # a defect of ours may cost one frame, never the thread or the job
            logger.exception(
                "gradwatch: a frame was given up because of a defect; please report it"
            )
            return self._turned.abandon()

    def _rest(self, pause: Pause) -> None:
        if pause.patience is Patience.ORDERED:
            threading.Event().wait(pause.seconds)
            return
        event = self._wake if pause.patience is Patience.IDLE else self._urge
        event.wait(pause.seconds)
        event.clear()
