"""What diagnosis remembers of the learning rate: the last 64 reports, its peak, its last jump."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from gradwatch_service.domain import FloatArray, IntArray

RECENT = 64
JUMP_FACTOR = 1.25
# The first steps of a linear warm-up (0, a, 2a, …, 5a) grow by more than 1.25x: no jumps.
FIRST_JUMP = 8
RISING_FACTOR = 1.05


@dataclass(frozen=True, slots=True)
class Jump:
    """A rise to ≥ 1.25x the highest rate of the 64 reports before, new to the run.

    ``old``: their median, a rate at which the run was known to work. A warm restart goes back to a
    rate that the run has known: no jump.
    """

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
        filled = _filled(np.concatenate([self.recent, lr]))
        known = filled[np.isfinite(filled)]
        return Rates(
            recent=filled[-RECENT - 1 :],
            first=float(known[0]) if math.isnan(self.first) and len(known) else self.first,
            peak=float(np.fmax(self.peak, known.max(initial=-np.inf))) if len(known) else self.peak,
            jump=self._jump(filled, ordinal, step),
        )

    def _jump(self, rates: FloatArray, ordinal: IntArray, step: IntArray) -> Jump | None:
        """The newest jump; ``rates`` are those remembered, then the new rows."""
        jump = self.jump
        before = len(rates) - len(ordinal)
        start = max(before, 1)
        rises = (rates[start:] >= JUMP_FACTOR * rates[start - 1 : -1]).nonzero()[0] + start
        for place in rises.tolist():
            row = place - before
            past = rates[max(place - RECENT, 0) : place]
            past, new = np.sort(past[np.isfinite(past)]), float(rates[place])
            known = np.fmax(self.peak, np.fmax.reduce(rates[before:place], initial=0.0))
            if ordinal[row] >= FIRST_JUMP and new >= JUMP_FACTOR * float(past[-1]) and new > known:
                old = float(past[len(past) // 2])
                jump = Jump(int(ordinal[row]), int(step[row]), old, new) if old > 0 else jump
        return jump


def _filled(rates: FloatArray) -> FloatArray:
    """With unknown rates as the one before."""
    unknown = np.isnan(rates)
    if not unknown.any():
        return rates
    index = np.where(unknown, 0, np.arange(len(rates)))
    return np.asarray(rates[np.maximum.accumulate(index)])
