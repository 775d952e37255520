"""instability-onset: the gradient norm becomes restless long before it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.context import RATIO
from gradwatch_service.detect.fixedpoint import FLOOR, Fixed, as_bits, bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import Evidence, LayerTable, Severity

NEW, REFERENCE, LEAST = 32, 16, 10
_RATES = 5


@dataclass(frozen=True, slots=True)
class Restlessness:
    """Medians of abs(Δ log2 ‖g‖) of the last 17 stretches; the learning rate at the last 5 ends."""

    steps: tuple[int, ...] = ()
    rates: tuple[float, ...] = ()
    calm: bool = True


@dataclass(frozen=True, slots=True)
class InstabilityOnset:
    """Median abs(Δ log2 ‖g‖) of 32 values ≥ 2.5 times that of the 256 before, and ≥ .25 bit.

    A warning; an error if updates are large (uw ≥ .02) or the learning rate has risen by a quarter
    within 64 values. Not while the loss falls (by 2 % within 128): with the loss the norm shrinks,
    and on a log scale it becomes restless. The 256 are a median of 16 medians of 16, so it is
    judged where 16 values end; from 208 values on. Ends after 32 reports below 1.5 times.

    Source: Gradwatch's pilot (DETECTORS section 1, point 4): it leads NaN by 52 to 465 steps under
    learning-rate instability.
    """

    id: ClassVar[str] = "instability-onset"
    clear_after: ClassVar[int] = 32
    factor: float = settable(
        2.5, "how much more restless the gradient norm is than before", 1.6, 20.0, "times"
    )
    clear_factor: float = 1.5
    least_bits: float = settable(
        0.25, "least change between reports, in powers of two", 0.05, 4.0, "bits"
    )
    large_ratio: float = 0.02
    loss_fall: float = 0.02

    def init(self, _layers: LayerTable) -> Restlessness:
        """No stretch so far."""
        return Restlessness()

    def update(self, state: Restlessness, view: View) -> tuple[Restlessness, Signal]:
        """Compare the restlessness where a stretch of 16 values ends."""
        norm, row = view.norm, view.norm.stretch
        if row is None:
            return state, stretches.within(view, norm.ok, calm=state.calm)
        rates = (*state.rates, view.number("lr", row))[-_RATES:]
        if norm.count[row] <= BLOCK:
            state = Restlessness(rates=rates)
            return state, stretches.within(view, norm.ok, calm=True)
        steps = _steps(norm.last(row, NEW + 1))
        now, before = stretches.median(steps), state.steps[:-1]
        usual = stretches.median(before) if len(before) >= LEAST else now
        severity = 0
        if now >= max(self.factor * usual, bits(self.least_bits)) and now > usual:
            severity = self._severity(view, row, rates)

        def describe(at: int) -> Sighting:
            text = (
                f"the gradient norm has become restless: it moves by {as_bits(now):.2f} bits from "
                f"one report to the next, {now / max(usual, 1):.1f} times as much as before"
            )
            value, step = now / max(usual, 1), int(view.step[at])
            return Sighting((Evidence("instability-onset", text, step, value, self.factor),))

        calm = now < self.clear_factor * usual or now <= usual
        signal = stretches.judged(view, row, severity, (state.calm, calm), norm.ok, describe)
        newest = stretches.median(steps[-BLOCK:])
        return Restlessness((*state.steps, newest)[-REFERENCE - 1 :], rates, calm), signal

    def _severity(self, view: View, row: int, rates: tuple[float, ...]) -> int:
        if stretches.falls(view.loss, row, self.loss_fall):
            return 0
        large = _updates(view.ratio, row) >= log2_bits(self.large_ratio)
        return Severity.ERROR if large or _rises(rates) else Severity.WARNING


def _updates(ratio: Track, row: int) -> int:
    """The median of the last 16 uw; the smallest number where it is not known."""
    return ratio.level(row) if ratio.count[row] >= BLOCK else FLOOR


def _steps(values: Fixed) -> list[int]:
    """How far it is from each value to the next."""
    steps: list[int] = np.abs(values[1:] - values[:-1]).tolist()
    return steps


def _rises(rates: tuple[float, ...]) -> bool:
    """Whether the learning rate is up by a quarter over one of the ends before."""
    return any(rates[-1] >= RATIO * rate and rates[-1] > rate for rate in rates[:-1])
