"""early-explosion: the run blows up within its first 32 reports, before any baseline exists."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import FLOOR, as_bits, bits, log2_bits, power
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable, Severity

FIRST = 32
_NONE = 2**30


@dataclass(frozen=True, slots=True)
class Opening:
    """First and smallest log2 norm, the first loss, which of the last three losses were far above.

    ``higher``: losses on end of 1.5 times the first one; ``large``: an update was large;
    ``fresh``: the reports begin with the training; ``exploded``: the rule has held.
    """

    first: int = _NONE
    least: int = _NONE
    first_loss: float = math.nan
    high: tuple[bool, ...] = (False, False, False)
    higher: int = 0
    large: bool = False
    fresh: bool = True
    exploded: bool = False

    def begun(self, view: View, beginning: int) -> Opening:
        """With the first norm and the first loss, if the view brings them."""
        fresh = self.fresh and bool(view.ordinal[0] or view.step[0] < beginning)
        norms = view.norm.y[_usable(view.norm)]
        losses = view.scalar("loss")[view.loss.ok]
        first = self.first if self.first < _NONE or not len(norms) else int(norms[0])
        wanted = fresh and math.isnan(self.first_loss) and len(losses)
        first_loss = float(losses[0]) if wanted else self.first_loss
        return replace(self, first=first, first_loss=first_loss, fresh=fresh)


@dataclass(frozen=True, slots=True)
class EarlyExplosion:
    """In the first 32 reports: norm ≥ 100x its minimum, or loss ≥ 10x its first value, 3 of 4.

    A loss of 3x its first value is enough where the norm is 10x its first, and one of 1.5x, 16
    on end with a norm of 2x, where an update was large (uw ≥ .02) or is not known. The norm alone
    must also be 4x its first value: a dip is no explosion; and have risen by twice as many bits as
    it ever fell from one report to the next: noise falls as it rises. A norm of exactly 0 (nothing
    to learn from, or a skipped step) does not count; nor does the loss where the first report is of
    a step from ``beginning`` on: a net that has learned may have a first loss of nearly nothing.

    Ends after 32 reports with neither.

    Source: Gradwatch's pilot (DETECTORS section 3), measured by benchmarks/detection.
    """

    id: ClassVar[str] = "early-explosion"
    clear_after: ClassVar[int] = 32
    rise_bits: float = settable(
        6.64,
        "rise of the gradient norm in the first 32 reports, in powers of two",
        2.0,
        32.0,
        "bits",
    )
    above_first_bits: float = 2.0
    falls: float = 2.0
    loss_factor: float = settable(
        10.0, "growth of the loss over its first value", 2.0, 1e06, "times"
    )
    joint_factor: float = 3.0
    joint_bits: float = 3.32
    of_four: int = 3
    lasting_factor: float = 1.5
    lasting_bits: float = 1.0
    lasting: int = 16
    large_ratio: float = 0.02
    beginning: int = 128

    def init(self, _layers: LayerTable) -> Opening:
        """Nothing seen yet."""
        return Opening()

    def update(self, state: Opening, view: View) -> tuple[Opening, Signal]:
        """Compare with the start of the run; after 32 reports only calm down."""
        late = bool(view.ordinal[0] >= FIRST)
        if late and not state.exploded:
            return state, quiet(view)
        start = state if late else state.begun(view, self.beginning)
        least = _running_least(view.norm, state.least)
        rise = np.where(_usable(view.norm), view.norm.y - least, 0)
        risen = rise >= bits(self.rise_bits)
        risen &= view.norm.y - start.first >= bits(self.above_first_bits)
        if not late:
            risen &= self._beyond_noise(view.norm, rise, risen)
        high = self._high(view, start)
        calm, known = ~risen & ~high, view.norm.ok | view.loss.ok
        if late:
            return state, quiet(view, calm, known)
        lasting, recent = self._lasting(high, view.loss.ok, state.high)
        higher, large = self._higher(start, view)
        lasting |= view.loss.ok & (higher >= self.lasting) & large
        explodes = risen | lasting

        def describe(row: int) -> Sighting:
            grown = as_bits(rise[row]) if risen[row] else None
            return self._describe(view, row, grown, start.first_loss if lasting[row] else None)

        exploded = state.exploded or bool(explodes.any())
        state = replace(
            start,
            least=int(least[-1]),
            high=recent,
            higher=int(higher[-1]),
            large=bool((view.ratio.count[-1] > 0) & large[-1]),
            exploded=exploded,
        )
        return state, Signal(levels(view, (Severity.ERROR, explodes)), calm, describe, known)

    def _beyond_noise(self, norm: Track, rise: IntArray, risen: BoolArray) -> BoolArray:
        """Where it has risen by far more than it ever fell: bool[n], known where ``risen``."""
        beyond = np.zeros_like(risen)
        values = np.concatenate([norm.past.values(), norm.y[norm.ok]])
        for row in np.flatnonzero(risen):
            so_far = values[: norm.count[row]]
            fall = -int(np.diff(so_far[so_far > FLOOR]).min(initial=0))
            beyond[row] = rise[row] >= self.falls * fall
        return beyond

    def _high(self, view: View, start: Opening) -> BoolArray:
        """Where the loss is far above its first value, alone or together with the norm: bool[n]."""
        loss, joint = view.scalar("loss"), view.norm.y - start.first >= bits(self.joint_bits)
        factor = np.where(view.norm.ok & joint, self.joint_factor, self.loss_factor)
        return view.loss.ok & (start.first_loss > 0) & (loss >= factor * start.first_loss)

    def _higher(self, start: Opening, view: View) -> tuple[IntArray, BoolArray]:
        """Losses on end well over the first one, int64[n]; whether updates were large, bool[n]."""
        higher = view.scalar("loss") >= self.lasting_factor * start.first_loss
        higher &= view.loss.ok & (start.first_loss > 0)
        higher &= ~view.norm.ok | (view.norm.y - start.first >= bits(self.lasting_bits))
        ratio = view.ratio
        large = ratio.ok & (ratio.y >= log2_bits(self.large_ratio))
        return (
            run_lengths(higher, start.higher, view.loss.ok),
            np.logical_or.accumulate(large) | start.large | (ratio.count == 0),
        )

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
            text = (
                f"the gradient norm is {power(grown):.3g} times its minimum after {n + 1} reports"
            )
            facts.append(Evidence("early-norm", text, step, grown, self.rise_bits))
        if first_loss is not None:
            loss, limit = float(view.scalar("loss")[row]), self.loss_factor * first_loss
            factor = (
                self.joint_factor if loss >= self.joint_factor * first_loss else self.lasting_factor
            )
            limit = limit if loss >= limit else factor * first_loss
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
