"""The machinery behind a run: queue, spool, one thread that fills it and one that empties it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

import httpx

from gradwatch.books import OwnBooks
from gradwatch.buffer import Buffer
from gradwatch.config import Config
from gradwatch.delivery import Link
from gradwatch.dispatch import Dispatch
from gradwatch.engine import Engine
from gradwatch.launch import Launch
from gradwatch.news import News
from gradwatch.notices import Notices
from gradwatch.pause import Pause
from gradwatch.records import Record
from gradwatch.spool.lanes import Lanes
from gradwatch.spooler import Spooler
from gradwatch.sweep import Sweep
from gradwatch.transport import Transport
from gradwatch.values import JsonValue

SENDER_THREAD = "gradwatch-sender"
SPOOL_THREAD = "gradwatch-spool"
LOOK_SECONDS = 0.01


def _not_ours(record: logging.LogRecord) -> bool:
    """Keep httpx from logging every one of our requests into the job's log."""
    return record.threadName != SENDER_THREAD


class Sender:
    """Everything of one process; a forked child makes itself a new one.

    Offline there is no thread that sends: what is on disk waits for ``gradwatch sync``.
    """

    def __init__(
        self, launch: Launch, config: Config, http: httpx.BaseTransport | None = None
    ) -> None:
        self.buffer = Buffer(config)
        self.notices = Notices()
        self._is_online = config.mode != "offline"
        self._lanes = Lanes(launch, config, self.notices)
        self._books = OwnBooks(self.buffer)
        self._transport = Transport(config, http)
        self._done = threading.Event()
        self._spooler = Spooler(self.buffer, self._lanes, config, self._announce)
        self._spooling = Engine(SPOOL_THREAD, self._spooler, self._written)
        link = Link(config, self._transport, self.notices)
        sweep = Sweep(link, self._lanes) if config.rank == 0 else None
        self._dispatch = Dispatch(self._lanes, link, self._books, self._has_all, sweep)
        self._sending = Engine(SENDER_THREAD, self, self._delivered)

    @property
    def news(self) -> News:
        """What the newest receipts said."""
        return self._books.news

    @property
    def waiting_in(self) -> str | None:
        """The file or folder where records wait on disk; None if there is none."""
        paths = [lane.path for lane in self._lanes.all if lane.frames or lane.farewell is not None]
        found = [path for path in paths if path is not None]
        if len(found) < len(paths) or not found:
            return None
        return str(found[0] if len(found) == 1 else found[0].parent)

    @property
    def is_current_thread(self) -> bool:
        """Whether the caller is one of our threads, through a logging handler for instance."""
        return self._sending.is_current_thread or self._spooling.is_current_thread

    def describe(self, launch: Launch) -> None:
        """Take what is known of the launch by now; before the first record."""
        self._lanes.live.describe(launch)

    def put(self, record: Record) -> None:
        """Queue a record; the threads start with the first one."""
        queued = self.buffer.append(record)
        if queued >= self._spooler.wake_records or self.buffer.is_urgent:
            self._spooling.wake()
        if not self._is_started:
            self._start()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending; offline, until everything is on the disk itself."""
        self._urge()
        if self._is_online:
            return self.buffer.wait_empty(timeout_seconds)
        deadline = time.monotonic() + timeout_seconds
        while not self._spooler.has_written:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def close(self, farewell: Mapping[str, JsonValue] | None) -> None:
        """Deliver what is queued, then ``farewell`` if given, then end the threads."""
        self._spooler.close(farewell)
        if not self._spooling.is_started and farewell is None and not len(self.buffer):
            self._done.set()
        else:
            self._start()
        self._urge()

    def wait_closed(self, timeout_seconds: float) -> bool:
        """Wait for the threads to end after ``close``."""
        return self._done.wait(timeout_seconds)

    def forsake(self) -> None:
        """In a forked child: let the files go, they are the parent's."""
        for lane in self._lanes.all:
            lane.leave()

    def turn(self) -> Pause | None:
        """Send something; then there may be room for more."""
        pause = self._dispatch.turn()
        if len(self.buffer) >= self._spooler.wake_records:
            self._spooling.urge()
        return pause

    def abandon(self) -> Pause:
        """Give up what is under way, after a defect of our own."""
        return self._dispatch.abandon()

    @property
    def _is_started(self) -> bool:
        return self._spooling.is_started and (self._sending.is_started or not self._is_online)

    def _start(self) -> None:
        logging.getLogger("httpx").addFilter(_not_ours)
        try:
            self._spooling.start()
            if self._is_online:
                self._sending.start()
        except RuntimeError as error:
            self.notices.warn("thread", f"the sender cannot start: {error}")

    def _urge(self) -> None:
        self._spooler.urge()
        self._spooling.urge()
        self._sending.urge()

    def _announce(self) -> None:
        self._sending.wake()

    def _has_all(self) -> bool:
        return self._spooler.ended

    def _written(self) -> None:
        """The spool thread has ended."""
        if not self._is_online:
            self._done.set()

    def _delivered(self) -> None:
        """The sender thread has ended."""
        self._transport.close()
        self._done.set()
