"""How long the sender rests between two turns, and what may wake it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

from gradwatch.config import Config
from gradwatch.verdict import backoff_limit

_jitter = random.SystemRandom()  # also different in every fork


class Patience(Enum):
    """What may cut a pause short."""

    IDLE = auto()  # new records
    BACKOFF = auto()  # a flush or the end of the run
    ORDERED = auto()  # nothing: the server, or a person, has to act first


@dataclass(frozen=True, slots=True)
class Pause:
    """How long to wait before the next turn."""

    seconds: float = 0.0
    patience: Patience = Patience.IDLE


AT_ONCE = Pause()


class Backoff:
    """Failures in a row, and how long to wait after each of them.

    ``is_held``: a person has to correct something first.
    ``has_answered``: something was accepted once. ``recovered``: an answer has ended a row of
    failures; whoever acts on it takes it back.
    """

    def __init__(self, config: Config) -> None:
        self.has_answered = self.recovered = False
        self._config = config
        self.failures = 0
        self.is_held = False

    @property
    def in_trouble(self) -> bool:
        """Whether the last request failed."""
        return self.failures > 0 or self.is_held

    def reset(self) -> None:
        """A request has succeeded."""
        self.recovered = self.recovered or self.in_trouble
        self.has_answered = True
        self.failures = 0
        self.is_held = False

    def next(self, *, nobody_listens: bool = False) -> Pause:
        """The pause after one more failure; shorter if it cost the service nothing."""
        limit = backoff_limit(self._config, self.failures)
        if nobody_listens:
            limit = min(limit, self._config.absent_cap_seconds)
        self.failures += 1
        return Pause(_jitter.uniform(0.0, limit), Patience.BACKOFF)

    def hold(self) -> Pause:
        """The pause until a person may have corrected something."""
        self.is_held = True
        return Pause(self._config.auth_pause_seconds, Patience.ORDERED)

    def told(self, retry_after_seconds: float | None) -> Pause:
        """The pause after a failure for which the service has named one."""
        pause = self.next()
        if retry_after_seconds is None:
            return pause
        told = retry_after_seconds * _jitter.uniform(1.0, 1.1)
        return Pause(max(told, pause.seconds), Patience.ORDERED)
