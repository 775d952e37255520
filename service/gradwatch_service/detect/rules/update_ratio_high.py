"""update-ratio-high: updates are large against the weights, for 16 reports on end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_value, bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

WINDOW = 16


@dataclass(frozen=True, slots=True)
class UpdateRatioHigh:
    """Median uw of 16 reports ≥ .02 (warning), ≥ .05 (error), or ≥ .01 and 2 bits over its past.

    About 1e-3 is the usual target of a healthy run. Judged from the 32nd value on; ends after 32
    reports with a median below .01.
    """

    id: ClassVar[str] = "update-ratio-high"
    clear_after: ClassVar[int] = 32
    warning: float = 0.02
    error: float = 0.05
    relative: float = 0.01
    above_slow_bits: float = 2.0

    def init(self, _layers: LayerTable) -> None:
        """No memory beyond the substrate's."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Judge the running median of uw."""
        ratio = view.ratio
        known = ratio.ok & ratio.ready
        if not ratio.ready:
            return state, quiet(view, known=known)
        median = np.sort(ratio.window(WINDOW), axis=1)[:, WINDOW // 2]
        calm = median < log2_bits(self.relative)
        if calm.all():
            return state, quiet(view, calm, known)
        risen = median - ratio.slow >= bits(self.above_slow_bits)
        level = levels(
            view,
            (Severity.WARNING, known & (median >= log2_bits(self.warning))),
            (Severity.WARNING, known & ~calm & risen),
            (Severity.ERROR, known & (median >= log2_bits(self.error))),
        )

        def describe(row: int) -> Sighting:
            value, normal = as_value(median[row]), as_value(ratio.slow)
            limit = self.warning if value >= self.warning else self.relative
            text = (
                f"updates are {value:.2g} of the weights' norm (median of {WINDOW} reports); "
                f"about 0.001 is usual, this run had {normal:.2g} before"
            )
            step = int(view.step[row])
            return Sighting((Evidence("update-ratio-high", text, step, value, limit),))

        return state, Signal(level, calm, describe, known)
