"""loss-oscillation: the loss swings to and fro at every step, as with too high a learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import ONE_BIT, Fixed, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import Evidence, LayerTable, Severity

WINDOW = 32


@dataclass(frozen=True, slots=True)
class Swing:
    """Stretches of 16 losses in a row that swing, and how many did not, ever."""

    swinging: int = 0
    steady: int = 0
    calm: bool = True


@dataclass(frozen=True, slots=True)
class LossOscillation:
    """Σ(x_t - x_t-2)² / Σ(x_t - x_t-1)² ≤ .30 over 32 losses, twice on end: every other is alike.

    x is log2 of the loss, or the loss if it can be negative; it must move by ``amplitude`` (5 %) or
    more. White noise does so once in 10,000 times. Tasks or players that take turns do it always,
    and are healthy: so either the updates must be large (uw ≥ .02), or the swing must have begun in
    the run, after ``steady`` stretches without, and the loss be up by a tenth over its level of
    long ago. A warning, from 64 losses on. Ends after 32 reports with a ratio > .6.

    Source: the period-2 oscillation of gradient descent beyond 2 / sharpness (arXiv 2103.00065);
    ratio after von Neumann 1941; the conditions Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "loss-oscillation"
    clear_after: ClassVar[int] = 32
    ratio: float = settable(0.3, "how alike every other loss is; 1 is noise", 0.05, 0.5)
    clear_ratio: float = 0.6
    amplitude: float = settable(0.05, "least swing of the loss, relative", 0.001, 10.0, "share")
    in_a_row: int = 3
    steady: int = 4
    large_ratio: float = 0.02
    rise: float = 0.1

    def init(self, _layers: LayerTable) -> Swing:
        """No loss so far."""
        return Swing()

    def update(self, state: Swing, view: View) -> tuple[Swing, Signal]:
        """Compare every loss with the last and the last but one, where a stretch of 16 ends."""
        loss, row = view.loss, view.loss.stretch
        if row is None or loss.count[row] < WINDOW + 2:
            return state, stretches.within(view, loss.ok, calm=state.calm)
        window = loss.last(row, WINDOW + 2)
        ratio = _ratio(window) if self._moves(window, linear=loss.linear) else np.inf
        swings = ratio <= self.ratio
        swinging = state.swinging + 1 if swings else 0
        harmful = swinging >= self.in_a_row and (
            self._updates_large(view.ratio, row)
            or (state.steady >= self.steady and self._risen(loss, window))
        )

        def describe(at: int) -> Sighting:
            text = (
                "the loss swings to and fro at every step: it is nearer to the last but one than "
                f"to the last (ratio of squares {ratio:.2f}, limit {self.ratio:g})"
            )
            step = int(view.step[at])
            return Sighting((Evidence("loss-oscillation", text, step, ratio, self.ratio),))

        severity = Severity.WARNING if harmful else 0
        calm = ratio > self.clear_ratio
        signal = stretches.judged(view, row, severity, (state.calm, calm), loss.ok, describe)
        return Swing(swinging, state.steady + (not swings), calm), signal

    def _moves(self, window: Fixed, *, linear: bool) -> bool:
        step = stretches.median(np.abs(window[1:] - window[:-1]).tolist())
        if linear:
            return step >= self.amplitude * abs(stretches.median(window.tolist()))
        return step >= log2_bits(1 + self.amplitude)

    def _updates_large(self, ratio: Track, row: int) -> bool:
        if ratio.count[row] < BLOCK:
            return False
        return ratio.level(row) >= log2_bits(self.large_ratio)

    def _risen(self, loss: Track, window: Fixed) -> bool:
        rise = int(window.sum(dtype=np.int64)) // len(window) - loss.slow
        if loss.linear:
            return rise >= self.rise * abs(loss.slow)
        return rise >= log2_bits(1 + self.rise)


def _ratio(window: Fixed) -> float:
    """Squares of the distances over two steps, by those over one: 1 for noise, 0 for a period of 2.

    ``window`` int32[34]. Worked out from whole numbers, so that it does not depend on the machine.
    """
    x = window.astype(np.int64)
    x = (x - x.min()) * ONE_BIT // max(int(np.ptp(x)), 1)  # its squares fit an int64
    two, one = x[2:] - x[:-2], x[2:] - x[1:-1]
    return int((two * two).sum()) / max(int((one * one).sum()), 1)
