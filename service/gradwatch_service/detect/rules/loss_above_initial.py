"""loss-above-initial: training has made the loss worse than it was at the start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_value, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View, upper_medians
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity

WINDOW, FIRST = 32, 8
_LONG_AGO = -(10**9)


@dataclass(frozen=True, slots=True)
class Beginning:
    """log2 of the first eight losses; ``large``: the last loss with a large update.

    ``late``: the reports do not begin with the training.
    """

    losses: tuple[int, ...] = ()
    large: int = _LONG_AGO
    late: bool = False


@dataclass(frozen=True, slots=True)
class LossAboveInitial:
    """Median of 32 losses above ``factor`` times that of the first 8; not if it can be negative.

    An error if an update was large (uw ≥ ``large_ratio``) within the last 256 losses, or uw is not
    known. Else it is information, from ``far`` (10x) on a warning: the loss of players against each
    other, of an agent or of harder and harder data may rise with nothing wrong.

    Judged from the 64th loss on, and only if the first report is of a step below ``beginning``: a
    job that goes on with a trained net begins with a small loss, which may well double. Ends after
    32 reports that are not above.

    Source: Gradwatch's pilot (DETECTORS section 3): a net that does worse than when it was new has
    diverged, whatever its course in between; severity by updates measured by benchmarks/detection.
    """

    id: ClassVar[str] = "loss-above-initial"
    clear_after: ClassVar[int] = 32
    factor: float = settable(
        1.5, "how many times its first values the loss is", 1.05, 1e06, "times"
    )
    far: float = settable(
        10.0,
        "how many times its first values the loss is for a warning where updates are small",
        1.05,
        1e06,
        "times",
    )
    large_ratio: float = 0.05
    within: int = 256
    warm_up: int = 64
    beginning: int = 128

    def init(self, _layers: LayerTable) -> Beginning:
        """No loss seen yet."""
        return Beginning()

    def update(self, state: Beginning, view: View) -> tuple[Beginning, Signal]:
        """Compare the level now with the first one."""
        loss, before = view.loss, state
        state = self._begun(state, view)
        late = loss.count >= self.warm_up
        if loss.linear or state.late or not late[-1]:
            return state, quiet(view, known=loss.ok)
        initial = sorted(state.losses)[FIRST // 2]
        if int(loss.values[-WINDOW - len(view) :].max()) - initial <= log2_bits(self.factor):
            return state, quiet(view, known=loss.ok)  # not even the highest is above
        now = upper_medians(loss.window(WINDOW))
        above = late & (now - initial > log2_bits(self.factor))
        if not above.any():
            return state, quiet(view, known=loss.ok)
        updates = np.where(self._large(view), loss.count, before.large)
        large = loss.count - np.maximum.accumulate(updates) < self.within
        known = view.ratio.count > 0

        def describe(row: int) -> Sighting:
            value, first = as_value(now[row]), as_value(initial)
            text = f"the loss is {value:.4g}, {value / first:.2g} times its initial {first:.4g}"
            step, limit = int(view.step[row]), self.factor * first
            return Sighting((Evidence("loss-above-initial", text, step, value, limit),))

        above &= loss.ok
        level = levels(
            view,
            (Severity.INFO, above),
            (Severity.WARNING, above & (now - initial >= log2_bits(self.far))),
            (Severity.ERROR, above & (large | ~known)),
        )
        return state, Signal(level, level == 0, describe, loss.ok)

    def _begun(self, state: Beginning, view: View) -> Beginning:
        """With the first losses, and the newest large update."""
        if view.ordinal[0] == 0 and view.step[0] >= self.beginning:
            return replace(state, late=True)
        loss = view.loss
        if len(state.losses) < FIRST and not (loss.linear or state.late):
            losses = (*state.losses, *loss.y[loss.ok].tolist())[:FIRST]
            state = replace(state, losses=losses)
        large = self._large(view).nonzero()[0]
        return replace(state, large=int(loss.count[large[-1]])) if len(large) else state

    def _large(self, view: View) -> BoolArray:
        return view.ratio.ok & (view.ratio.y >= log2_bits(self.large_ratio))
