"""early-explosion: the run blows up within its first 32 reports, before any baseline exists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import FLOOR, as_bits, bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable, Severity

FIRST = 32
_NONE = 2**30


@dataclass(frozen=True, slots=True)
class Opening:
    """Smallest log2 norm so far, the first loss, which of the last three losses were far above.

    ``exploded``: the rule has held.
    """

    least: int = _NONE
    first_loss: float = np.nan
    high: tuple[bool, ...] = (False, False, False)
    exploded: bool = False


@dataclass(frozen=True, slots=True)
class EarlyExplosion:
    """In the first 32 reports: norm ≥ 100x its minimum, or loss ≥ 10x its first value, 3 of 4.

    A norm of exactly 0 (nothing to learn from, or a skipped step) is no minimum. Ends after 32
    reports with neither.
    """

    id: ClassVar[str] = "early-explosion"
    clear_after: ClassVar[int] = 32
    rise_bits: float = 6.64
    loss_factor: float = 10.0
    of_four: int = 3

    def init(self, _layers: LayerTable) -> Opening:
        """Nothing seen yet."""
        return Opening()

    def update(self, state: Opening, view: View) -> tuple[Opening, Signal]:
        """Compare with the start of the run; after 32 reports only calm down."""
        if view.ordinal[0] >= FIRST and not state.exploded:
            return state, quiet(view)
        least = _running_least(view.norm, state.least)
        rise = np.where(view.norm.ok, view.norm.y - np.minimum(least, view.norm.y), 0)
        first, high = self._losses(view, state)
        risen = rise >= bits(self.rise_bits)
        calm, known = ~risen & ~high, view.norm.ok | view.loss.ok
        if view.ordinal[0] >= FIRST:
            return state, quiet(view, calm, known)
        lasting, recent = self._lasting(high, view.loss.ok, state.high)
        explodes = risen | lasting

        def describe(row: int) -> Sighting:
            return self._describe(view, row, as_bits(rise[row]), bool(lasting[row]), first)

        state = Opening(int(least[-1]), first, recent, bool(state.exploded | explodes.any()))
        return state, Signal(levels(view, (Severity.ERROR, explodes)), calm, describe, known)

    def _losses(self, view: View, state: Opening) -> tuple[float, BoolArray]:
        """The first loss, and where the loss is far above it: bool[n]."""
        loss = view.scalar("loss")
        known = loss[view.loss.ok]
        first = state.first_loss
        if np.isnan(first) and len(known) and view.ordinal[0] < FIRST:
            first = float(known[0])
        return first, view.loss.ok & (first > 0) & (loss >= self.loss_factor * first)

    def _lasting(
        self, high: BoolArray, measured: BoolArray, recent: tuple[bool, ...]
    ) -> tuple[BoolArray, tuple[bool, ...]]:
        """Where a high loss is one of three high among the last four: bool[n]."""
        lasting = np.zeros_like(high)
        for row in np.flatnonzero(measured):
            lasting[row] = high[row] and sum(recent) + 1 >= self.of_four
            recent = (*recent[1:], bool(high[row]))
        return lasting, recent

    def _describe(self, view: View, row: int, rise: float, lasting: bool, first: float) -> Sighting:
        step, n = int(view.step[row]), int(view.ordinal[row])
        facts = []
        if rise >= self.rise_bits:
            text = f"the gradient norm is {2.0**rise:.3g} times its minimum after {n + 1} reports"
            facts.append(Evidence("early-norm", text, step, rise, self.rise_bits))
        if lasting:
            loss = float(view.scalar("loss")[row])
            text = f"the loss is {loss:.3g}, {loss / first:.3g} times its first value {first:.3g}"
            facts.append(Evidence("early-loss", text, step, loss, self.loss_factor * first))
        return Sighting(tuple(facts))


def _running_least(norm: Track, least: int) -> IntArray:
    known = norm.ok & (norm.y > FLOOR)
    return np.minimum(np.minimum.accumulate(np.where(known, norm.y, _NONE)), least)
