"""loss-divergence: the loss has left its level upwards, stays there, and is not the only sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import Fixed, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable, Severity

NEW, REFERENCE = 16, 64
_LONG_AGO = -(10**9)


@dataclass(frozen=True, slots=True)
class Departure:
    """Losses in a row above the reference; ordinals of the last sign in norm and in anything."""

    above: int = 0
    norm: int = _LONG_AGO
    grave: int = _LONG_AGO


@dataclass(frozen=True, slots=True)
class LossDivergence:
    """16-median of the loss above the 64 before by max(1.5 scales, 50 %), 8 in a row.

    Alone it has too many false alarms, so another sign must have been seen in the last 32 reports:
    uw ≥ .02 or a non-finite value, an error; or a gradient norm ≥ 3 scales up, a warning where uw
    is known and smaller, as when the data have changed, else an error. Judged from the 80th loss
    on; ends after 32 reports that are not above.

    Source: Gradwatch's pilot (DETECTORS section 3), measured by benchmarks/detection.
    """

    id: ClassVar[str] = "loss-divergence"
    clear_after: ClassVar[int] = 32
    scales: float = 1.5
    share: float = 0.5
    in_a_row: int = 8
    norm_z: float = 3.0
    ratio: float = 0.02
    within: int = 32

    def init(self, _layers: LayerTable) -> Departure:
        """Nothing seen yet."""
        return Departure()

    def update(self, state: Departure, view: View) -> tuple[Departure, Signal]:
        """Compare the level now with the level before."""
        loss = view.loss
        norm, grave = self._signs(view, state)
        above = self._above(loss)
        streak = run_lengths(above, state.above, loss.ok)
        state = Departure(int(streak[-1]), int(norm[-1]), int(grave[-1]))
        lasting = loss.ok & (streak >= self.in_a_row)
        if not lasting.any():
            return state, quiet(view, ~above, loss.ok)
        level = levels(
            view,
            (Severity.WARNING, lasting & (view.ordinal - norm <= self.within)),
            (Severity.ERROR, lasting & (view.ordinal - grave <= self.within)),
        )

        def describe(row: int) -> Sighting:
            value = float(view.scalar("loss")[row])
            text = (
                f"the loss has left its level: now {value:.4g}, {int(streak[row])} reports in a "
                f"row more than {self.share:.0%} above the median of the {REFERENCE} before"
            )
            return Sighting((Evidence("loss-divergence", text, int(view.step[row]), value),))

        return state, Signal(level, ~above, describe, loss.ok)

    def _above(self, loss: Track) -> BoolArray:
        late = loss.count >= NEW + REFERENCE
        if not late[-1]:
            return late
        window = loss.window(NEW + REFERENCE)
        new = np.sort(window[:, REFERENCE:], axis=1)[:, NEW // 2]
        reference = np.sort(window[:, :REFERENCE], axis=1)[:, REFERENCE // 2]
        return np.asarray(late & (new - reference > self._margin(loss, reference)))

    def _margin(self, loss: Track, reference: Fixed) -> IntArray:
        wide = round(self.scales * loss.scale)
        if loss.linear:
            return np.maximum(wide, np.rint(np.abs(reference) * self.share).astype(np.int64))
        return np.full(len(reference), max(wide, log2_bits(1 + self.share)), dtype=np.int64)

    def _signs(self, view: View, state: Departure) -> tuple[IntArray, IntArray]:
        """Ordinals of the last sign in the norm, and of the last grave one, at each row."""
        norm, ratio = view.norm.z >= self.norm_z, view.ratio
        grave = view.norm.bad | view.loss.bad | (norm & (ratio.count == 0))
        grave |= ratio.ok & (ratio.y >= log2_bits(self.ratio))
        return (
            np.maximum.accumulate(np.where(norm, view.ordinal, state.norm)),
            np.maximum.accumulate(np.where(grave, view.ordinal, state.grave)),
        )
