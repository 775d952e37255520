"""The queues of one process: the live one, and those that an outage left behind it."""

from __future__ import annotations

from gradwatch import ids
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.notices import Notices
from gradwatch.spool.lane import Lane


class Lanes:
    """``live`` takes what is reported now; ``backlog`` waits, the oldest first."""

    def __init__(self, launch: Launch, config: Config, notices: Notices) -> None:
        self._config = config
        self._notices = notices
        self.live = Lane.begin(launch, ids.writer_name(config.rank), config, notices)
        self.backlog: tuple[Lane, ...] = ()

    @property
    def all(self) -> tuple[Lane, ...]:
        """Every one of them, the oldest first."""
        return (*self.backlog, self.live)

    @property
    def records(self) -> int:
        """How many records wait in them."""
        return sum(lane.records for lane in self.all)

    def roll(self) -> None:
        """Let what waits be the backlog; reports go under a new writer's name from now on."""
        old = self.live
        origin = old.origin.under(ids.writer_name(self._config.rank))
        self.live = Lane(origin, self._config, self._notices)
        self.backlog = (*self.backlog, old)
        old.synchronise()

    def drop(self, lane: Lane) -> None:
        """A lane of the backlog is delivered, unless something has come into it meanwhile."""
        if lane.discard():
            self.backlog = tuple(other for other in self.backlog if other is not lane)
