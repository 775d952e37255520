"""gradient-spike: the global gradient norm jumps far outside its own noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect.fixedpoint import as_value, bits
from gradwatch_service.detect.rule import Sighting, Signal, quiet
from gradwatch_service.detect.spikes import Rows, Spike, Spikes, class_facts, follow, graded, waits
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class GradientSpike:
    """Robust z of log2 ‖g‖ at or above tail guard and ``threshold``, ``rise_bits`` over the median.

    The 16 values from the first on make the class of a spike, the fact ``spike-class``: isolated
    (at most 3 out of range, the median of the last 8 back within 2 scales or 1 bit), recurrent (4
    in 1,024 reports, or more than 3 of the 16), level-shift (those 8 are not back), escalating
    (they are up by a bit on the first 8; or spikes recur, and later ones are all larger by a bit).

    Information as long as it is isolated. Else a warning if the loss jumps too (z ≥ 4) or the level
    is up by ``far_bits`` (10x), an error if both; a recurrent spike is a warning at least, an
    escalating one an error. After an announced change a new level is expected: information unless
    the loss jumps.
    Ends after 16 reports below 3 scales.

    Source: median and MAD instead of mean and deviation because a spike hides the next one from
    those (ZClip, arXiv 2504.02507, and OLMo skip by mean and deviation); limits and classes
    Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "gradient-spike"
    clear_after: ClassVar[int] = 16
    threshold: float = settable(
        6.0, "robust z of the norm; never below what its own noise asks for", 6.0, 100.0
    )
    rise_bits: float = settable(
        1.0, "least rise over the usual norm, in powers of two", 0.25, 16.0, "bits"
    )
    far_bits: float = settable(
        3.32, "rise from which on a spike that stays or recurs is a warning", 1.0, 16.0, "bits"
    )
    loss_z: float = 4.0
    clear_z: float = 3.0

    def init(self, _layers: LayerTable) -> Spikes:
        """No spike so far."""
        return Spikes()

    def update(self, state: Spikes, view: View) -> tuple[Spikes, Signal]:
        """Compare each norm with the baseline of the blocks before."""
        norm = view.norm
        calm = norm.ok & (norm.z < self.clear_z)
        limit = max(norm.limit, self.threshold)
        outside = norm.ok & norm.ready & (norm.z >= limit)
        outside &= norm.y - norm.median >= bits(self.rise_bits)
        if not (outside.any() or waits(state)):
            return state, quiet(view, calm, norm.measured)
        loss_too = view.loss.z >= self.loss_z
        rows = Rows(outside, loss_too, bits(self.rise_bits))
        state, sequel = follow(state, norm, view, rows, self._judge)

        def describe(row: int) -> Sighting:
            spike, step = sequel.spike[row], int(view.step[row])
            facts = [self._fact(spike, limit, step)] if spike is not None else []
            if loss_too[row]:
                z = float(view.loss.z[row])
                text = f"the loss jumps in the same step (robust z {z:.1f})"
                facts.append(Evidence("loss-jump", text, step, z, self.loss_z))
            if sequel.classed[row] and spike is not None:
                facts += class_facts(spike, step)
            return Sighting(tuple(facts))

        return state, Signal(sequel.level, calm, describe, norm.measured, sequel.classed)

    def _judge(self, spike: Spike) -> Severity:
        far = spike.height >= bits(self.far_bits)
        return graded(spike, Severity(Severity.INFO + far + spike.together))

    def _fact(self, spike: Spike, limit: float, step: int) -> Evidence:
        value, normal, z = as_value(spike.peak), as_value(spike.median), spike.rise / spike.scale
        text = (
            f"the gradient norm is {value:.3g}, {value / normal:.3g} times its usual "
            f"{normal:.3g} (robust z {z:.1f}, limit {limit:.1f})"
        )
        return Evidence("gradient-spike", text, step, z, limit)
