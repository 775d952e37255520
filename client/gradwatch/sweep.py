"""Delivers what jobs left behind that were killed: one dead writer's queue after the other."""

from __future__ import annotations

import time
from pathlib import Path

from gradwatch.books import Tally
from gradwatch.delivery import Delivery, Link
from gradwatch.pause import AT_ONCE, Patience, Pause
from gradwatch.spool import folder
from gradwatch.spool.lane import Lane
from gradwatch.spool.lanes import Lanes
from gradwatch.spool.origin import Origin

LOOK_SECONDS = 60.0


class Sweep:
    """Orphans that were meant for the same service; ``own`` are the lanes of this process.

    A launch of this very run is over: it is not introduced, or it would seem to be the newest.
    """

    def __init__(self, link: Link, own: Lanes) -> None:
        self._shared = link
        self._own = own
        self._delivery: Delivery | None = None
        self._waiting: list[Path] = []
        self._looked_at = float("-inf")

    def turn(self) -> Pause | None:
        """Deliver a little; None if there is nothing to do."""
        self._delivery = self._delivery or self._find()
        if self._delivery is None:
            return None
        pause = self._delivery.turn()
        if pause is None:
            self._delivery.lane.discard()
            self._delivery = None
        elif pause.seconds:
            self.leave()
            if pause.patience is Patience.BACKOFF:
                self._waiting.clear()
        return AT_ONCE

    def abandon(self) -> Pause:
        """Give up the frame under way, after a defect of our own or of the disk."""
        if self._delivery is not None:
            self._delivery.abandon()
        return AT_ONCE

    def leave(self) -> None:
        """Leave what is under way to whoever comes next."""
        if self._delivery is not None:
            self._delivery.lane.leave()
            self._delivery = None

    def _find(self) -> Delivery | None:
        """The next orphan."""
        if not self._waiting and time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            spool = self._shared.config.spool
            folder.clear(spool)
            self._waiting = [path for path in folder.files(spool) if folder.is_orphan(path)]
        while self._waiting:
            path = self._waiting.pop(0)
            if self._is_ours(path) and (delivery := self._take_over(path)) is not None:
                return delivery
        return None

    def _is_ours(self, path: Path) -> bool:
        intro = folder.intro_of(path)
        if not intro:  # nothing was written, or something else: `_take_over` knows what to do
            return True
        origin = Origin.of(intro)
        living = {lane.origin.writer for lane in self._own.all}
        return origin.url == self._shared.config.url and origin.writer not in living

    def _take_over(self, path: Path) -> Delivery | None:
        mine = folder.claim(path)
        journal = folder.open_claimed(mine) if mine is not None else None
        if journal is None:
            return None
        own = self._shared
        origin = Origin.of(journal.intro)
        lane = Lane(origin, own.config, own.notices, journal=journal)
        link = Link(own.config, own.transport, own.notices)
        met = journal.met or origin.run_id == self._own.live.origin.run_id
        return Delivery(lane, link, Tally(), met=met)
