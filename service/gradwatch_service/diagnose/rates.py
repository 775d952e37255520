"""What diagnosis remembers of the learning rate: the last 64 reports, its peak, its last jump."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from gradwatch_service.domain import FloatArray, IntArray

RECENT = 64
JUMP_FACTOR = 1.25
# The first steps of a linear warm-up (0, a, 2a, …, 5a) grow by more than 1.25x: no jumps.
FIRST_JUMP = 8
RISING_FACTOR = 1.05


@dataclass(frozen=True, slots=True)
class Jump:
    """A rise of the learning rate by ≥ 1.25x from one report to the next."""

    ordinal: int
    step: int
    old: float
    new: float


@dataclass(frozen=True, slots=True)
class Rates:
    """``recent``: float64[≤ 65], the newest last, unknown values carried forward or NaN."""

    recent: FloatArray = field(default_factory=lambda: np.empty(0))
    first: float = math.nan
    peak: float = math.nan
    jump: Jump | None = None

    @property
    def now(self) -> float | None:
        """The newest known learning rate."""
        known = len(self.recent) > 0 and not math.isnan(self.recent[-1])
        return float(self.recent[-1]) if known else None

    @property
    def before(self) -> float | None:
        """The learning rate 64 reports ago, or the oldest known one of a shorter run."""
        known = self.recent[np.isfinite(self.recent)]
        return float(known[0]) if len(known) else None

    @property
    def rising(self) -> bool:
        """Whether the schedule has raised the rate over the last 64 reports."""
        now, before = self.now, self.before
        return now is not None and before is not None and now >= RISING_FACTOR * before

    @property
    def without_warm_up(self) -> bool:
        """Whether the run began at (nearly) the highest rate it has had so far."""
        return self.first > 0 and self.first >= 0.8 * self.peak

    def advance(self, lr: FloatArray, ordinal: IntArray, step: IntArray) -> Rates:
        """Take rows into memory; ``lr`` float64[k] with NaN where it was not reported."""
        joined = np.concatenate([self.recent, lr])
        index = np.where(np.isnan(joined), 0, np.arange(len(joined)))
        filled = joined[np.maximum.accumulate(index)]
        known = filled[np.isfinite(filled)]
        return replace(
            self,
            recent=filled[-RECENT - 1 :],
            first=float(known[0]) if math.isnan(self.first) and len(known) else self.first,
            peak=float(np.fmax(self.peak, known.max(initial=-np.inf))) if len(known) else self.peak,
            jump=self._jump(filled[-len(lr) - 1 :], ordinal, step),
        )

    def _jump(self, rates: FloatArray, ordinal: IntArray, step: IntArray) -> Jump | None:
        """The newest jump; ``rates`` are the rows after the rate before them, if there is one."""
        old, new = rates[:-1], rates[1:]
        size = len(new)
        late = ordinal[len(ordinal) - size :] >= FIRST_JUMP
        rows = np.flatnonzero((old > 0) & (new >= JUMP_FACTOR * old) & late)
        if not len(rows):
            return self.jump
        row = int(rows[-1])
        back = row - size
        return Jump(int(ordinal[back]), int(step[back]), float(old[row]), float(new[row]))
