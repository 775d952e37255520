"""The bounded queue between the training thread and the sender; it counts every record."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gradwatch.config import Config
from gradwatch.records import Record


@dataclass(frozen=True, slots=True)
class Counts:
    """Where the records of this process are; observed = stored + rejected + dropped + pending.

    ``dropped``: the queue was full. ``rejected``: refused by the service for good, or not usable.
    ``malformed`` counts single values or arguments that were not understood and left out.
    """

    observed: int = 0
    stored: int = 0
    rejected: int = 0
    dropped: int = 0
    pending: int = 0
    malformed: int = 0


class Buffer:
    """First in, first out; when full the oldest ordinary record goes, a critical one never first.

    Only when nothing but critical records is queued is the newest refused: the earliest evidence
    of a fault is worth most.
    """

    def __init__(self, config: Config) -> None:
        self._max_records = config.queue_records
        self._max_bytes = config.queue_bytes
        self._ordinary: deque[tuple[int, Record]] = deque()
        self._critical: deque[tuple[int, Record]] = deque()
        self._bytes = 0
        self._next = 0
        self._in_flight = 0
        self._stored = self._rejected = self._dropped = self._malformed = 0
        self._observed = 0
        self._lock = threading.RLock()  # re-entrant: a signal handler may log
        self._settled = threading.Condition(self._lock)

    def __len__(self) -> int:
        return len(self._ordinary) + len(self._critical)

    @property
    def bytes(self) -> int:
        """About how much memory the queued records occupy."""
        return self._bytes

    @property
    def is_urgent(self) -> bool:
        """Whether something queued must not be lost: it should be on disk soon."""
        return bool(self._critical)

    @property
    def counts(self) -> Counts:
        """A consistent view of all counters."""
        with self._lock:
            return Counts(
                observed=self._observed,
                stored=self._stored,
                rejected=self._rejected,
                dropped=self._dropped,
                pending=len(self) + self._in_flight,
                malformed=self._malformed,
            )

    def append(self, record: Record) -> int:
        """Queue a record, make room if needed, and return how many are queued."""
        with self._lock:
            self._observed += 1
            queue = self._critical if record.critical else self._ordinary
            queue.append((self._next, record))
            self._next += 1
            self._bytes += record.size
            while len(self) > self._max_records or self._bytes > self._max_bytes:
                self._drop_one()
            return len(self)

    def refuse(self) -> None:
        """Count a record that could not be used at all."""
        with self._lock:
            self._observed += 1
            self._rejected += 1

    def note_malformed(self, values: int) -> None:
        """Count values that were not understood."""
        with self._lock:
            self._malformed += values

    def take(self, max_records: int, max_bytes: int) -> list[Record]:
        """Remove the oldest records that fit one frame; they stay pending until settled."""
        taken: list[Record] = []
        room, group = max_bytes, None
        with self._lock:
            while len(self) and len(taken) < max_records:
                queue = self._older()
                record = queue[0][1]
                if taken and (record.size > room or (group and record.group not in (None, group))):
                    break
                queue.popleft()
                group = group or record.group
                room -= record.size
                self._bytes -= record.size
                taken.append(record)
            self._in_flight += len(taken)
        return taken

    def put_back(self, records: Sequence[Record]) -> None:
        """Return records just taken to the front, in their order."""
        with self._lock:
            oldest = self._older()[0][0] if len(self) else self._next
            for offset, record in enumerate(reversed(records), 1):
                queue = self._critical if record.critical else self._ordinary
                queue.appendleft((oldest - offset, record))
                self._bytes += record.size
            self._in_flight -= len(records)

    def settle(self, *, stored: int = 0, rejected: int = 0) -> None:
        """Record the fate of records taken before."""
        with self._settled:
            self._stored += stored
            self._rejected += rejected
            self._in_flight -= stored + rejected
            self._settled.notify_all()

    def wait_empty(self, timeout_seconds: float) -> bool:
        """Wait until nothing is pending; False if that takes longer than the timeout."""
        with self._settled:
            return self._settled.wait_for(lambda: not self.counts.pending, timeout_seconds)

    def _older(self) -> deque[tuple[int, Record]]:
        if not self._ordinary or not self._critical:
            return self._ordinary or self._critical
        return min(self._ordinary, self._critical, key=lambda queue: queue[0][0])

    def _drop_one(self) -> None:
        _, record = self._ordinary.popleft() if self._ordinary else self._critical.pop()
        self._bytes -= record.size
        self._dropped += 1
