"""Takes records from the buffer and puts them, as frames, onto the disk: a turn at a time.

While the service keeps up a frame is formed as soon as it wants one; while frames wait, about one a
second. What must not be lost is written, and on the disk itself, at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gradwatch import frames
from gradwatch.buffer import Buffer
from gradwatch.config import Config
from gradwatch.pause import AT_ONCE, Patience, Pause
from gradwatch.records import Record
from gradwatch.spool.folder import TOUCH_SECONDS
from gradwatch.spool.lanes import Lanes
from gradwatch.values import JsonValue

SYNCHRONISE_SECONDS = 1.0
HUNGRY_FRAMES = 2  # one under way, one to follow


class Spooler:
    """``announce`` is called whenever there is something to send."""

    def __init__(
        self, buffer: Buffer, lanes: Lanes, config: Config, announce: Callable[[], None]
    ) -> None:
        self.ended = False
        self._buffer = buffer
        self._lanes = lanes
        self._config = config
        self._announce = announce
        self._taken: list[Record] = []
        self._closing = self._urged = False
        self._farewell: Mapping[str, JsonValue] | None = None
        self._formed_at = self._synchronised_at = self._touched_at = time.monotonic()
        self._is_synchronised = True

    @property
    def wake_records(self) -> int:
        """How many queued records are reason enough to wake the thread."""
        if self._closing or self._urged:
            return 1
        if self._is_hungry:
            return self._config.eager_records
        return max(self._config.queue_records // 2, 1)

    @property
    def has_written(self) -> bool:
        """Whether every record that is pending is on the disk itself."""
        lanes = self._lanes
        on_disk = all(lane.path is not None or not lane.frames for lane in lanes.all)
        return on_disk and self._is_synchronised and self._buffer.counts.pending == lanes.records

    def urge(self) -> None:
        """Write everything that is queued with the next turns."""
        self._urged = True

    def close(self, farewell: Mapping[str, JsonValue] | None) -> None:
        """End once everything is written, with the end of the run if given."""
        self._farewell = farewell
        self._closing = True

    def turn(self) -> Pause | None:
        """Do what is due, and say how long to wait after it; None: for ever."""
        if self.ended:
            return None
        self._care(time.monotonic())
        urged, closing = self._urged, self._closing  # before looking at what is there by now
        if len(self._buffer):
            if not self._is_due(time.monotonic()):
                return self._rest
            return self._form() if self._lanes.live.has_room else self._wait_for_room
        if urged:
            self._urged = False
            if len(self._buffer):  # it came, with an urge of its own, after we looked
                self._urged = True
            self._synchronise()
        if closing:
            self._end()
        return self._rest

    def abandon(self) -> Pause:
        """Give up the records just taken, after a defect of our own."""
        self._buffer.settle(rejected=len(self._taken))
        self._taken = []
        return self._rest

    @property
    def _rest(self) -> Pause:
        return Pause(self._config.linger_seconds)

    @property
    def _wait_for_room(self) -> Pause:
        """The same, whatever else is reported meanwhile."""
        return Pause(self._config.linger_seconds, Patience.BACKOFF)

    @property
    def _is_hungry(self) -> bool:
        return self._lanes.live.frames < HUNGRY_FRAMES

    def _is_due(self, now: float) -> bool:
        """Whether a frame is to be formed of what is queued."""
        if self._closing or self._urged or self._buffer.is_urgent:
            return True
        if len(self._buffer) >= self.wake_records:
            return True
        config = self._config
        patience = config.linger_seconds if self._is_hungry else config.spool_seconds
        return now - self._formed_at >= patience or self._buffer.bytes >= config.frame_bytes

    def _form(self) -> Pause:
        """Form one frame; if the lane cannot take it, everything stays where it is."""
        lane, is_urgent = self._lanes.live, self._buffer.is_urgent
        self._taken = self._buffer.take(self._config.frame_records, lane.frame_bytes)
        if not self._taken:
            return AT_ONCE
        self._is_synchronised = False
        if not lane.put(frames.pack(self._taken), frames.table_of(self._taken)):
            self._buffer.put_back(self._taken)
            self._taken = []
            return self._wait_for_room
        self._taken = []
        self._formed_at = time.monotonic()
        self._announce()
        if is_urgent:
            self._synchronise()
        return AT_ONCE

    def _care(self, now: float) -> None:
        """Synchronise and touch the files, when it is time."""
        if now - self._synchronised_at >= SYNCHRONISE_SECONDS:
            self._synchronise()
        if now - self._touched_at >= TOUCH_SECONDS:
            self._touched_at = now
            for lane in self._lanes.all:
                lane.touch()

    def _synchronise(self) -> None:
        """Have the disk itself hold what waits."""
        live = self._lanes.live
        if not self._is_synchronised and (live.frames or live.farewell is not None):
            live.synchronise()
        self._is_synchronised = True
        self._synchronised_at = time.monotonic()

    def _end(self) -> None:
        """Write the end of the run, and be done."""
        if self._farewell is not None:
            self._lanes.live.finish(self._farewell)
            self._is_synchronised = False
        self.ended = True
        self._announce()
        self._synchronise()
