"""early-explosion: the run blows up within its first 32 reports, before any baseline exists."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
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
    """First and smallest log2 norm, the first loss, which of the last three losses were far above.

    ``exploded``: the rule has held.
    """

    first: int = _NONE
    least: int = _NONE
    first_loss: float = math.nan
    high: tuple[bool, ...] = (False, False, False)
    exploded: bool = False

    def begun(self, view: View) -> Opening:
        """With the first norm and the first loss, if the view brings them."""
        norms = view.norm.y[_usable(view.norm)]
        losses = view.scalar("loss")[view.loss.ok]
        first = self.first if self.first < _NONE or not len(norms) else int(norms[0])
        known = not math.isnan(self.first_loss) or not len(losses)
        return replace(self, first=first, first_loss=self.first_loss if known else float(losses[0]))


@dataclass(frozen=True, slots=True)
class EarlyExplosion:
    """In the first 32 reports: norm ≥ 100x its minimum, or loss ≥ 10x its first value, 3 of 4.

    The norm must also be 4x its first value: a dip is no explosion. A norm of exactly 0 (nothing
    to learn from, or a skipped step) does not count. Ends after 32 reports with neither.
    """

    id: ClassVar[str] = "early-explosion"
    clear_after: ClassVar[int] = 32
    rise_bits: float = 6.64
    above_first_bits: float = 2.0
    loss_factor: float = 10.0
    of_four: int = 3

    def init(self, _layers: LayerTable) -> Opening:
        """Nothing seen yet."""
        return Opening()

    def update(self, state: Opening, view: View) -> tuple[Opening, Signal]:
        """Compare with the start of the run; after 32 reports only calm down."""
        late = bool(view.ordinal[0] >= FIRST)
        if late and not state.exploded:
            return state, quiet(view)
        start = state if late else state.begun(view)
        least = _running_least(view.norm, state.least)
        rise = np.where(_usable(view.norm), view.norm.y - least, 0)
        risen = rise >= bits(self.rise_bits)
        risen &= view.norm.y - start.first >= bits(self.above_first_bits)
        loss = view.scalar("loss")
        high = view.loss.ok & (start.first_loss > 0) & (loss >= self.loss_factor * start.first_loss)
        calm, known = ~risen & ~high, view.norm.ok | view.loss.ok
        if late:
            return state, quiet(view, calm, known)
        lasting, recent = self._lasting(high, view.loss.ok, state.high)
        explodes = risen | lasting

        def describe(row: int) -> Sighting:
            grown = as_bits(rise[row]) if risen[row] else None
            return self._describe(view, row, grown, start.first_loss if lasting[row] else None)

        exploded = state.exploded or bool(explodes.any())
        state = replace(start, least=int(least[-1]), high=recent, exploded=exploded)
        return state, Signal(levels(view, (Severity.ERROR, explodes)), calm, describe, known)

    def _lasting(
        self, high: BoolArray, measured: BoolArray, recent: tuple[bool, ...]
    ) -> tuple[BoolArray, tuple[bool, ...]]:
        """Where a high loss is one of three high among the last four: bool[n]."""
        lasting = np.zeros_like(high)
        for row in np.flatnonzero(measured):
            lasting[row] = high[row] and sum(recent) + 1 >= self.of_four
            recent = (*recent[1:], bool(high[row]))
        return lasting, recent

    def _describe(
        self, view: View, row: int, grown: float | None, first_loss: float | None
    ) -> Sighting:
        step, n = int(view.step[row]), int(view.ordinal[row])
        facts = []
        if grown is not None:
            text = f"the gradient norm is {2.0**grown:.3g} times its minimum after {n + 1} reports"
            facts.append(Evidence("early-norm", text, step, grown, self.rise_bits))
        if first_loss is not None:
            loss, limit = float(view.scalar("loss")[row]), self.loss_factor * first_loss
            text = (
                f"the loss is {loss:.3g}, {loss / first_loss:.3g} times its first {first_loss:.3g}"
            )
            facts.append(Evidence("early-loss", text, step, loss, limit))
        return Sighting(tuple(facts))


def _usable(norm: Track) -> BoolArray:
    return norm.ok & (norm.y > FLOOR)


def _running_least(norm: Track, least: int) -> IntArray:
    held = np.where(_usable(norm), norm.y, _NONE)
    return np.minimum(np.minimum.accumulate(held), least)
