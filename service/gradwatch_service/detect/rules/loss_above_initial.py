"""loss-above-initial: training has made the loss worse than it was at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_value, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

WINDOW, FIRST = 32, 8


@dataclass(frozen=True, slots=True)
class LossAboveInitial:
    """Median of 32 losses above ``factor`` times that of the first 8; not if it can be negative.

    Judged from the 64th loss on; ends after 32 reports that are not. The state holds the log2 of
    those first losses.
    """

    id: ClassVar[str] = "loss-above-initial"
    clear_after: ClassVar[int] = 32
    factor: float = 1.5
    warm_up: int = 64

    def init(self, _layers: LayerTable) -> tuple[int, ...]:
        """No loss seen yet."""
        return ()

    def update(self, state: tuple[int, ...], view: View) -> tuple[tuple[int, ...], Signal]:
        """Compare the level now with the first one."""
        loss = view.loss
        if len(state) < FIRST and not loss.linear:
            state = (*state, *loss.y[loss.ok].tolist())[:FIRST]
        late = loss.count >= self.warm_up
        if loss.linear or not late[-1]:
            return state, quiet(view, known=loss.ok)
        initial = sorted(state)[FIRST // 2]
        now = np.sort(loss.window(WINDOW), axis=1)[:, WINDOW // 2]
        above = late & (now - initial > log2_bits(self.factor))

        def describe(row: int) -> Sighting:
            value, first = as_value(now[row]), as_value(initial)
            text = f"the loss is {value:.4g}, {value / first:.2g} times its initial {first:.4g}"
            step, limit = int(view.step[row]), self.factor * first
            return Sighting((Evidence("loss-above-initial", text, step, value, limit),))

        level = levels(view, (Severity.ERROR, above & loss.ok))
        return state, Signal(level, ~above, describe, loss.ok)
