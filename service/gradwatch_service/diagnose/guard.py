"""The armed guard: limits the client applies by itself before ``optimizer.step()``."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import FLOOR, FRACTION_BITS, ONE_BIT, Fixed, as_value, bits
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, FloatArray, Guard

RING = 512
FIRST_LIMIT, FULL_LIMIT = 4, 32  # accepted norms needed for the loose and for the exact limit
LOOSE_FACTOR = 10.0
SKIP_BITS = (4.0, 10.0)  # a norm 1,024 times the usual one is always worth skipping
LIFETIME = 256
# Rules that mean "the norm is not at its healthy level": their reports do not move the limit.
EXPLOSIVE = frozenset(
    {
        "early-explosion",
        "gradient-growth",
        "loss-divergence",
        "update-ratio-high",
        "update-step-huge",
    }
)
# A net may explode through time or depth from its first report on: it still gets an exact limit.
EXPLOSIVE_ONCE_CALIBRATED = frozenset({"depth-explosion", "explosion-through-time"})
# Growth is seen some reports after it began: a norm only counts once nothing was found for so long.
PROBATION = 32
_EARLY = (4, 8)  # within the first block the limit is also set after these reports
_POWERS: FloatArray = np.exp2(np.arange(ONE_BIT) / ONE_BIT)


def capacity(active: Collection[str]) -> int | None:
    """How many norms may be accepted in all while these rules hold; None: any number."""
    if not EXPLOSIVE.isdisjoint(active):
        return FIRST_LIMIT
    return None if EXPLOSIVE_ONCE_CALIBRATED.isdisjoint(active) else FULL_LIMIT


@dataclass(frozen=True, slots=True)
class Norms:
    """The last 512 accepted norms, int32[512] fixed-point log2, and the limit they give.

    ``waiting``: the newest ones, int32[≤ 32], not accepted yet; dropped when an explosion is found.
    ``max_norm`` changes where a block ends (and after reports 4 and 8), so it depends on the
    reports alone and not on how they were cut into frames. ``loose``: ten times their mean,
    which leaves a healthy run alone.
    """

    ring: Fixed = field(default_factory=lambda: np.zeros(RING, dtype=np.int32))
    waiting: Fixed = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    accepted: int = 0
    max_norm: float | None = None
    loose: float | None = None

    def absorb(self, view: View, start: int, stop: int, active: Collection[str]) -> Norms:
        """Take rows ``start`` to ``stop`` in, during which the rules ``active`` held."""
        if start == stop:
            return self
        if view.ordinal[start] < max(_EARLY) and stop - start > 1:
            return self.absorb(view, start, start + 1, active).absorb(view, start + 1, stop, active)
        rows = slice(start, stop)
        norms = self._queue(view.norm.y[rows][_acceptable(view, rows)], capacity(active))
        reports = int(view.ordinal[stop - 1]) + 1
        closes = reports % BLOCK == 0 or reports in _EARLY
        return norms._limited() if closes else norms

    def _queue(self, values: Fixed, most: int | None) -> Norms:
        """Let norms wait, accept those that have waited; at once while there are few."""
        queue = np.concatenate([self.waiting, values])
        if most is None:
            due = max(FULL_LIMIT - self.accepted, len(queue) - PROBATION, 0)
            taken, waiting = queue[:due], queue[due:]
        else:
            taken, waiting = values[: max(most - self.accepted, 0)], values[:0]
        ring = self.ring
        if len(taken):
            ring = ring.copy()
            ring[(self.accepted + np.arange(len(taken))) % RING] = taken
        accepted = self.accepted + len(taken)
        return replace(self, ring=ring, waiting=waiting, accepted=accepted)

    def _limited(self) -> Norms:
        """With the limits that the accepted norms give.

        ``max_norm``: clip(P97.5, .5 mean, 10 mean); 10 medians if < 32; None if < 4.
        """
        held = min(self.accepted, RING)
        if held < FIRST_LIMIT:
            return replace(self, max_norm=None, loose=None)
        ordered = np.sort(self.ring[:held])
        if held < FULL_LIMIT:
            limit = LOOSE_FACTOR * as_value(ordered[held // 2])
            return replace(self, max_norm=limit, loose=limit)
        values = np.ldexp(_POWERS[ordered & (ONE_BIT - 1)], ordered >> FRACTION_BITS)
        mean = math.fsum(values.tolist()) / held
        loose, high = LOOSE_FACTOR * mean, float(values[held * 39 // 40])
        return replace(self, max_norm=min(max(high, 0.5 * mean), loose), loose=loose)


def _acceptable(view: View, rows: slice) -> BoolArray:
    norm = view.norm
    usable = norm.ok[rows] & (norm.y[rows] > FLOOR)
    if not norm.ready:
        return usable
    return usable & (norm.y[rows] - norm.median <= _margin(norm.scale, norm.limit))


def _margin(scale: int, limit: float) -> int:
    least, most = SKIP_BITS
    return round(min(max(bits(least), limit * scale), bits(most)))


def skip_above(ready: bool, median: int, scale: int, limit: float) -> float | None:
    """2^(median + clip(zt·s, 4 bits, 10 bits)): norms above are worth skipping."""
    if not ready:
        return None
    value = as_value(median + _margin(scale, limit))
    return value if math.isfinite(value) else None


def armed(max_norm: float | None, skip: float | None, step: int, increment: int) -> Guard:
    """The guard after the report at ``step``: it expires 256 reports later."""
    return Guard(max_norm=max_norm, skip_above=skip, expires_step=step + LIFETIME * increment)
