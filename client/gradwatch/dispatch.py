"""Chooses what is sent next: what is new, then what an outage left, then dead jobs' rest."""

from __future__ import annotations

from collections.abc import Callable

from gradwatch.books import Books, BooksBehind
from gradwatch.delivery import Delivery, Link
from gradwatch.pause import AT_ONCE, Pause
from gradwatch.spool.lane import Lane
from gradwatch.spool.lanes import Lanes
from gradwatch.sweep import LOOK_SECONDS, Sweep


class Dispatch:
    """``has_all`` says whether nothing more will come into the lanes."""

    def __init__(
        self,
        lanes: Lanes,
        link: Link,
        books: Books,
        has_all: Callable[[], bool],
        sweep: Sweep | None,
    ) -> None:
        self._lanes = lanes
        self._link = link
        self._books = books
        self._has_all = has_all
        self._sweep = sweep
        self._deliveries: dict[Lane, Delivery] = {}
        self._abandon: Callable[[], Pause] = link.backoff.next

    def turn(self) -> Pause | None:
        """Send one request, and say how long to wait after it; None: everything is delivered."""
        has_all = self._has_all()
        lane = self._next_lane()
        delivery = self._delivery(lane)
        self._abandon = delivery.abandon
        pause = delivery.turn()
        if self._link.backoff.recovered:
            self._recover(has_all=has_all)
        if pause is not None:
            return pause
        if lane is not self._lanes.live:
            self._drop(lane)
            return AT_ONCE
        if has_all:
            self._end()
            return None
        return self._idle()

    def abandon(self) -> Pause:
        """Give up what is under way, after a defect of our own."""
        return self._abandon()

    def _next_lane(self) -> Lane:
        live, backlog = self._lanes.live, self._lanes.backlog
        return live if live.frames or not backlog else backlog[0]

    def _delivery(self, lane: Lane) -> Delivery:
        if lane not in self._deliveries:
            self._deliveries[lane] = Delivery(lane, self._link, self._books)
        return self._deliveries[lane]

    def _drop(self, lane: Lane) -> None:
        self._deliveries.pop(lane, None)
        self._lanes.drop(lane)

    def _recover(self, *, has_all: bool) -> None:
        """The service is back: if much waits, new reports shall not wait behind it."""
        self._link.backoff.recovered = False
        live = self._lanes.live
        if not has_all and live.bytes > self._link.config.live_first_bytes:
            self._delivery(live).books = BooksBehind(self._books)
            self._lanes.roll()

    def _end(self) -> None:
        if self._sweep is not None:
            self._sweep.leave()
        self._lanes.live.discard()

    def _idle(self) -> Pause:
        """Nothing of our own waits: look after others, if the service answers."""
        backoff = self._link.backoff
        if self._sweep is not None and backoff.has_answered and not backoff.in_trouble:
            self._abandon = self._sweep.abandon
            return self._sweep.turn() or Pause(LOOK_SECONDS)
        return Pause(LOOK_SECONDS)
