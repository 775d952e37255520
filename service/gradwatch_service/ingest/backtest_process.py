"""Back-tests in a process of their own, so that they take nothing from those who write."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
from subprocess import TimeoutExpired

from gradwatch_service.errors import ServiceError, Unavailable
from gradwatch_service.ingest.backtest import Bench, Trial
from gradwatch_service.ingest.child import ENDED, Child, begin, ends
from gradwatch_service.ingest.judge import Failure
from gradwatch_service.store.codec import Json
from gradwatch_service.store.database import make_engine, unavailable_when_down

PROGRAM = "from gradwatch_service.ingest.backtest_process import main; main()"
GRACE_SECONDS = 5.0
IDLE_SECONDS = 300.0
NICENESS = 10
TRIES = 2
TURN_SECONDS = 1.0  # who waits for a turn holds a thread of the server


class Rehearsals:
    """One back-test at a time; the process begins with the first, and ends when nobody asks."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._turn = threading.Lock()
        self._child: Child | None = None
        self._closed = False

    def run(self, trial: Trial) -> Json:
        """Try settings; from any thread.

        Raises:
            ServiceError: what is wrong with the trial; Unavailable: another one is under way.
        """
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise Unavailable("another back-test is under way", code="busy")
        try:
            for _ in range(TRIES):
                if self._closed:
                    break
                with suppress(*ENDED):  # it had nothing to do for long, or was killed
                    return self._asked(trial)
                self._end()
            raise Unavailable("the back-test came to no end; send the same again", code="lost")
        finally:
            self._turn.release()

    def close(self) -> None:
        """End the process; who waits for it is told."""
        self._closed = True
        if self._child is not None:
            self._child.process.kill()
        with self._turn:
            self._end()

    def _asked(self, trial: Trial) -> Json:
        child = self._child = self._child or self._begun()
        child.orders.send(trial)
        if not child.answers.poll(trial.seconds + GRACE_SECONDS):
            self._end()
            raise Unavailable("the back-test took too long; ask for fewer runs", code="overdue")
        found: Json | Exception = child.answers.recv()
        if isinstance(found, Exception):
            raise found
        return found

    def _begun(self) -> Child:
        child = begin(PROGRAM)
        child.orders.send(self._url)  # not among its arguments, which everybody sees
        return child

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with suppress(OSError):
                child.orders.close()
            child.process.kill()
            with suppress(TimeoutExpired):
                child.process.wait(GRACE_SECONDS)
            child.answers.close()


def main() -> None:
    """Answer until nobody is there to ask, or nobody has asked for long."""
    orders, answers = ends()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICENESS)
    with suppress(*ENDED):
        bench = Bench(make_engine(orders.recv()))
        while orders.poll(IDLE_SECONDS):
            answers.send(_answer(bench, orders.recv()))


def _answer(bench: Bench, trial: Trial) -> Json | Exception:
    try:
        with unavailable_when_down():
            return bench.run(trial)
    except ServiceError as error:
        return error
    except Exception as error:  # noqa: BLE001 - whatever it is, it is an answer
        return RuntimeError(Failure.of(error).trace)  # not every exception can travel
