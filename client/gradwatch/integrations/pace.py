"""How often more is measured than the norms of gradients: as seldom as the budget asks; pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

BUDGET = 0.01  # of the time from one step to the next
AMPLE = BUDGET / 3  # measuring twice as often would still be within it
WINDOW_STEPS, WINDOW_SECONDS = 64, 2.0
MOST_STEPS = 128


@dataclass(frozen=True, slots=True)
class Change:
    """From now on every so many steps, as watching took this share of a step."""

    every: int
    share: float
    is_at_end: bool = False

    @property
    def text(self) -> str:
        """What is said about it."""
        said = f"watching took {self.share:.1%} of a step (budget {BUDGET:.0%})"
        if self.is_at_end:
            return f"{said}, nearly all for the norms of gradients, which are measured at each step"
        return f"{said}; more than the norms of gradients is measured every {self.every} steps"


class Pace:
    """Which steps are measured in full: every so many, doubled while watching is over budget.

    Two windows in a row must agree, since anything may disturb one. Intervals are powers of two, so
    that ranks whose intervals differ still meet, and they never get below the first one.
    """

    def __init__(self, every: int, first_step: int, *, adapts: bool) -> None:
        self.every = every
        self.adapts = adapts and every > 0
        self._least = every
        self._first_step = first_step
        self._shares: deque[float] = deque(maxlen=2)
        self._is_at_end = False
        self._newest: float | None = None
        self._restart(0.0)

    def is_due(self, step: int) -> bool:
        """Whether this step is measured in full."""
        return self.every > 0 and (step - self._first_step) % self.every == 0

    def note(self, begun: float, seconds: float) -> Change | None:
        """A call that began then has taken so long; what changes by that."""
        if not self.adapts:
            return None
        before, self._newest = self._newest, begun
        if before is None:
            self._restart(begun)
            return None
        self._gaps.append(begun - before)
        self._spent += seconds
        enough = len(self._gaps) >= max(WINDOW_STEPS, 2 * self.every)
        if not enough or begun - self._since < WINDOW_SECONDS:
            return None
        typical = median(self._gaps)  # a validation in between is no step
        self._shares.append(self._spent / (typical * len(self._gaps)) if typical > 0 else 0.0)
        self._restart(begun)
        return self._change()

    def _restart(self, now: float) -> None:
        self._since = now
        self._gaps: list[float] = []
        self._spent = 0.0

    def _change(self) -> Change | None:
        if len(self._shares) < 2:
            return None
        low, high = sorted(self._shares)
        if low > BUDGET and self.every < MOST_STEPS:
            return self._set(2 * self.every, low)
        if high < AMPLE and self.every > self._least:
            return self._set(self.every // 2, high)
        if low > BUDGET and not self._is_at_end:
            self._is_at_end = True
            return Change(self.every, low, is_at_end=True)
        return None

    def _set(self, every: int, share: float) -> Change:
        self.every = every
        self._shares.clear()
        return Change(every, share)
