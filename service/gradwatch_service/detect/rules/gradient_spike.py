"""gradient-spike: the global gradient norm jumps far outside its own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect.fixedpoint import as_value, bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class GradientSpike:
    """Robust z of log2 ‖g‖ at or above the tail guard, and at least ``rise_bits`` over the median.

    Information alone; a warning if the loss jumps too or the norm is ``far_bits`` (10x) up; an
    error if both. After an announced change a new level is expected: information unless the loss
    jumps. Ends after 16 reports below 3 scales.
    """

    id: ClassVar[str] = "gradient-spike"
    clear_after: ClassVar[int] = 16
    rise_bits: float = 1.0
    far_bits: float = 3.32
    loss_z: float = 4.0
    clear_z: float = 3.0

    def init(self, _layers: LayerTable) -> None:
        """No memory beyond the substrate's."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Compare each norm with the baseline of the blocks before."""
        norm = view.norm
        calm = norm.ok & (norm.z < self.clear_z)
        rise = norm.y - norm.median
        spike = norm.ok & norm.ready & (norm.z >= norm.limit) & (rise >= bits(self.rise_bits))
        if not spike.any():
            return state, quiet(view, calm, norm.measured)
        loss_too = view.loss.z >= self.loss_z
        far = rise >= bits(self.far_bits)
        level = levels(
            view,
            (Severity.INFO, spike),
            (Severity.WARNING, spike & (loss_too | far & ~view.announced)),
            (Severity.ERROR, spike & loss_too & far),
        )

        def describe(row: int) -> Sighting:
            return self._describe(view, row, loss_too=bool(loss_too[row]))

        return state, Signal(level, calm, describe, norm.measured)

    def _describe(self, view: View, row: int, *, loss_too: bool) -> Sighting:
        norm, step = view.norm, int(view.step[row])
        value, normal = as_value(norm.y[row]), as_value(norm.median)
        text = (
            f"the gradient norm is {value:.3g}, {value / normal:.3g} times its usual "
            f"{normal:.3g} (robust z {norm.z[row]:.1f}, limit {norm.limit:.1f})"
        )
        spike = Evidence("gradient-spike", text, step, float(norm.z[row]), norm.limit)
        if not loss_too:
            return Sighting((spike,))
        z = float(view.loss.z[row])
        text = f"the loss jumps in the same step (robust z {z:.1f})"
        return Sighting((spike, Evidence("loss-jump", text, step, z, self.loss_z)))
