"""loss-spike: the loss jumps far outside its own noise for a step or a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class LossSpike:
    """Robust z of the loss at or above the tail guard and a rise of ≥ 10 % and .15 bit.

    A loss that can be negative is judged linearly. Information; a warning when the gradient norm
    jumps with it. Ends after 16 reports below 3 scales.
    """

    id: ClassVar[str] = "loss-spike"
    clear_after: ClassVar[int] = 16
    rise: float = 0.1
    rise_bits: float = 0.15
    norm_z: float = 4.0
    clear_z: float = 3.0

    def init(self, _layers: LayerTable) -> None:
        """No memory beyond the substrate's."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Compare each loss with the baseline of the blocks before."""
        loss = view.loss
        calm = loss.ok & (loss.z < self.clear_z)
        spike = loss.ok & loss.ready & (loss.z >= loss.limit) & self._rises(loss)
        if not spike.any():
            return state, quiet(view, calm, loss.measured)
        level = levels(
            view,
            (Severity.INFO, spike),
            (Severity.WARNING, spike & (view.norm.z >= self.norm_z)),
        )

        def describe(row: int) -> Sighting:
            value, z = float(view.scalar("loss")[row]), float(loss.z[row])
            text = f"the loss jumps to {value:.4g} (robust z {z:.1f}, limit {loss.limit:.1f})"
            return Sighting((Evidence("loss-spike", text, int(view.step[row]), z, loss.limit),))

        return state, Signal(level, calm, describe, loss.measured)

    def _rises(self, loss: Track) -> BoolArray:
        rise = loss.y - loss.median
        if loss.linear:
            return np.asarray(rise >= self.rise * abs(loss.median))
        return np.asarray(rise >= max(bits(self.rise_bits), log2_bits(1 + self.rise)))
