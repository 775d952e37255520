"""update-step-huge: one update moves the weights by a fifth of their size or more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect.fixedpoint import as_value, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class UpdateStepHuge:
    """uw ≥ ``huge`` in a single report; ends after 32 reports below ``clear``. Needs no history.

    uw is the median over the weight layers of ‖update‖ / max(‖weight‖, 1e-3·√numel).

    Source: Gradwatch's pilot (DETECTORS section 1, point 3): single updates of healthy runs are
    below .02, of exploding ones 1.3 to 26.
    """

    id: ClassVar[str] = "update-step-huge"
    clear_after: ClassVar[int] = 32
    huge: float = settable(0.2, "size of one update over the weights", 0.05, 10.0)
    clear: float = 0.05

    def init(self, _layers: LayerTable) -> None:
        """No memory."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Compare each update with the weights it changes."""
        ratio = view.ratio
        huge = ratio.ok & (ratio.y >= log2_bits(self.huge))
        calm = ratio.y < log2_bits(self.clear)
        if not huge.any():
            return state, quiet(view, calm, ratio.ok)

        def describe(row: int) -> Sighting:
            value, step = as_value(ratio.y[row]), int(view.step[row])
            text = f"one update changed the median weight layer by {value:.3g} times its norm"
            return Sighting((Evidence("update-step-huge", text, step, value, self.huge),))

        return state, Signal(levels(view, (Severity.CRITICAL, huge)), calm, describe, ratio.ok)
