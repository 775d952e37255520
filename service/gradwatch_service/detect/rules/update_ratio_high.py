"""update-ratio-high: updates are large against the weights, for 16 reports on end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_value, bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity

WINDOW, FIRST = 16, 8


@dataclass(frozen=True, slots=True)
class UpdateRatioHigh:
    """Median uw of 16 reports ≥ .02 (warning), ≥ .05 (error), or ≥ .01 and 2 bits over its past.

    Where the loss is down by a fifth on its first 8 values and not over its level of long ago, the
    run learns at that pace: .02 is information then, and .05 a warning. A rise by 2 bits is
    information where the loss is below that level: so it is in a warm-up.

    uw is the median over the weight layers of ‖update‖ / max(‖weight‖, 1e-3·√numel); about 1e-3 is
    the usual target of a healthy run. Judged from the 32nd value on; ends after 32 reports with a
    median below .01.

    Source: the target of 1e-3 is A. Karpathy's (CS231n, "Ratio of weights:updates"); the limits,
    with no history needed, Gradwatch's pilot (DETECTORS section 1, point 3).
    """

    id: ClassVar[str] = "update-ratio-high"
    clear_after: ClassVar[int] = 32
    warning: float = settable(
        0.02, "size of updates over weights for a warning; about .001 is usual", 0.01, 1.0
    )
    error: float = settable(0.05, "size of updates over weights for an error", 0.01, 10.0)
    relative: float = 0.01
    above_slow_bits: float = 2.0
    loss_fall: float = 0.2
    loss_bits: float = 0.1

    def init(self, _layers: LayerTable) -> tuple[int, ...]:
        """No loss seen yet."""
        return ()

    def update(self, state: tuple[int, ...], view: View) -> tuple[tuple[int, ...], Signal]:
        """Judge the running median of uw; the state holds log2 of the first losses."""
        ratio = view.ratio
        if len(state) < FIRST and not view.loss.linear:
            state = (*state, *view.loss.y[view.loss.ok].tolist())[:FIRST]
        known = ratio.ok & (ratio.ready | (ratio.count >= WINDOW))
        if not known.any():
            return state, quiet(view, known=known)
        relative = log2_bits(self.relative)
        if ratio.values[-WINDOW - len(view) :].max() < relative:
            return state, quiet(view, known=known)
        median = ratio.medians
        calm = median < relative
        if calm.all():
            return state, quiet(view, calm, known)
        late = np.full(len(view), ratio.ready)
        risen = late & (median - ratio.slow >= bits(self.above_slow_bits))
        high, huge = median >= log2_bits(self.warning), median >= log2_bits(self.error)
        learns, falls = self._learning(state, view.loss)
        level = levels(
            view,
            (Severity.INFO, known & ((late & high) | risen) & ~calm),
            (Severity.WARNING, known & ((~calm & risen & ~falls) | (late & high & ~learns) | huge)),
            (Severity.ERROR, known & late & huge & ~learns),
        )

        def describe(row: int) -> Sighting:
            value = as_value(median[row])
            limit = self.warning if value >= self.warning else self.relative
            before = f", this run had {as_value(ratio.slow):.2g} before" if ratio.ready else ""
            text = (
                f"updates are {value:.2g} of the weights' norm (median of {WINDOW} reports); "
                f"about 0.001 is usual{before}"
            )
            step = int(view.step[row])
            return Sighting((Evidence("update-ratio-high", text, step, value, limit),))

        return state, Signal(level, calm, describe, known)

    def _learning(self, first: tuple[int, ...], loss: Track) -> tuple[BoolArray, BoolArray]:
        """Whether the median of 16 losses is low and no higher than before; whether it is lower."""
        if loss.linear or not loss.ready or len(first) < FIRST:
            never = np.zeros(len(loss.y), dtype=np.bool_)
            return never, never
        now = loss.medians
        low = sorted(first)[FIRST // 2] - now >= -log2_bits(1 - self.loss_fall)
        change, noise = now - loss.slow, bits(self.loss_bits)
        return low & (change < noise), change < -noise
