"""The daemon thread behind a run: it turns the delivery, waits, and never lets an error out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

import httpx

from gradwatch import ids
from gradwatch.buffer import Buffer
from gradwatch.config import Config
from gradwatch.delivery import Delivery
from gradwatch.launch import Launch
from gradwatch.pause import Patience, Pause
from gradwatch.records import Record
from gradwatch.transport import Transport
from gradwatch.values import JsonValue

logger = logging.getLogger("gradwatch")

THREAD_NAME = "gradwatch-sender"


def _not_ours(record: logging.LogRecord) -> bool:
    """Keep httpx from logging every one of our requests into the job's log."""
    return record.threadName != THREAD_NAME


class Sender:
    """Queue, delivery and thread of one process; a forked child makes itself a new one."""

    def __init__(
        self, launch: Launch, config: Config, http: httpx.BaseTransport | None = None
    ) -> None:
        self.buffer = Buffer(config)
        self._transport = Transport(config, http)
        writer = ids.writer_name(config.rank)
        self.delivery = Delivery(launch, writer, self.buffer, self._transport, config)
        self._eager_records = config.eager_records
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()
        self._wake = threading.Event()
        self._urge = threading.Event()
        self._done = threading.Event()

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller is the sender itself, through a logging handler for instance."""
        return self._thread is threading.current_thread()

    def put(self, record: Record) -> None:
        """Queue a record; the thread starts with the first one."""
        if self.buffer.append(record) >= self._eager_records:
            self._wake.set()
        if self._thread is None:
            self._start()

    def urge(self) -> None:
        """Try to deliver now, even in the middle of a backoff."""
        self._urge.set()
        self._wake.set()

    def close(self, farewell: Mapping[str, JsonValue] | None) -> None:
        """Deliver what is queued, then ``farewell`` if given, then end the thread."""
        self.delivery.close(farewell)
        if self._thread is None and (farewell is not None or len(self.buffer)):
            self._start()
        elif self._thread is None:
            self._done.set()
        self.urge()

    def wait_closed(self, timeout_seconds: float) -> bool:
        """Wait for the thread to end after ``close``."""
        return self._done.wait(timeout_seconds)

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            logging.getLogger("httpx").addFilter(_not_ours)
            thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                self.delivery.notices.warn("thread", f"the sender cannot start: {error}")
            else:
                self._thread = thread

    def _run(self) -> None:
        while not self.delivery.ended:
            pause = self._turn()
            if pause.seconds > 0:
                self._rest(pause)
        self._transport.close()
        self._done.set()

    def _turn(self) -> Pause:
        try:
            return self.delivery.turn()
        except Exception:  # a defect of ours may cost one frame, never the thread or the job
            logger.exception(
                "gradwatch: a frame was given up because of a defect; please report it"
            )
            return self.delivery.abandon()

    def _rest(self, pause: Pause) -> None:
        if pause.patience is Patience.ORDERED:
            threading.Event().wait(pause.seconds)
            return
        event = self._wake if pause.patience is Patience.IDLE else self._urge
        event.wait(pause.seconds)
        event.clear()
