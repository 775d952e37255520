"""update-ratio-low: the weights practically do not move."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import as_value, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import LONGEST_WINDOW, Track, View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class Standstill:
    """Stretches of 16 values in a row with low updates; the highest learning rate at their ends."""

    low: int = 0
    peak_lr: float = 0.0


@dataclass(frozen=True, slots=True)
class UpdateRatioLow:
    """Median uw of 16 values below 1e-6, ``in_a_row`` times (64 values): information.

    A warning where the last 128 losses do not fall (by 2 %) either: nothing is learned.

    Not where the learning rate is 0, or below a hundredth of its highest: that is the end of a
    schedule. A loss below 1 lowers the limit in proportion: who has learned need not move. About
    1e-3 is the usual target. Ends after 32 reports from a median on that is not low.

    Source: WeightUpdateRatio of SageMaker Debugger, whose 1e-8 finds next to nothing.
    """

    id: ClassVar[str] = "update-ratio-low"
    clear_after: ClassVar[int] = 32
    low: float = settable(
        1e-6, "size of updates over weights below which nothing is learned", 1e-10, 0.0001
    )
    in_a_row: int = 4
    share_of_peak: float = 0.01
    loss_fall: float = 0.02

    def init(self, _layers: LayerTable) -> Standstill:
        """No stretch so far."""
        return Standstill()

    def update(self, state: Standstill, view: View) -> tuple[Standstill, Signal]:
        """Judge the median where a stretch of 16 values ends."""
        ratio, was_calm = view.ratio, state.low == 0
        row = ratio.stretch
        if row is None:
            return state, stretches.within(view, ratio.ok, calm=was_calm)
        lr = float(view.scalar("lr")[row])
        peak = max(state.peak_lr, lr) if math.isfinite(lr) else state.peak_lr
        median = ratio.level(row)
        over = lr <= self.share_of_peak * peak
        limit = log2_bits(self.low) + _learned(view.loss, row)
        low = state.low + 1 if not over and median < limit else 0

        def describe(at: int) -> Sighting:
            value, step = as_value(median), int(view.step[at])
            text = f"updates are {value:.1e} of the weights' norm; about 0.001 is usual"
            return Sighting((Evidence("update-ratio-low", text, step, value, self.low),))

        severity = 0 if low < self.in_a_row else Severity.INFO
        if severity and view.loss.count[row] >= LONGEST_WINDOW:
            stands = not stretches.falls(view.loss, row, self.loss_fall)
            severity = Severity.WARNING if stands else Severity.INFO
        calm = was_calm, low == 0
        signal = stretches.judged(view, row, severity, calm, ratio.ok, describe)
        return Standstill(low, peak), signal


def _learned(loss: Track, row: int) -> int:
    """log2 of the median of the last 16 losses if that is below 1, else 0."""
    if loss.linear or loss.count[row] < BLOCK:
        return 0
    return min(loss.level(row), 0)
