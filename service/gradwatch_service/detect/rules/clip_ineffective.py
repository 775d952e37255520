"""clip-ineffective: a spike went through, as the clip limit is far above all norms, or missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_value, bits, log2_fixed
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import LONGEST_WINDOW, View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class ClipIneffective:
    """Norm ≥ 10x its median and at or over the tail guard, loss z ≥ 4, and no limit near the norms.

    That is, ``clip_norm`` ≥ 8 times the 99th percentile of the last 128 norms before this view's,
    or not reported. Information, from 256 norms on. Ends after 64 reports without such a spike.

    Source: Gradwatch.
    """

    id: ClassVar[str] = "clip-ineffective"
    clear_after: ClassVar[int] = 64
    far_bits: float = settable(
        3.32, "how far the norm must jump, in powers of two", 1.0, 16.0, "bits"
    )
    loss_z: float = 4.0
    above_bits: float = settable(
        3.0, "how far the clipping limit lies above usual norms", 1.0, 16.0, "bits"
    )
    warm_up: int = 256

    def init(self, _layers: LayerTable) -> None:
        """No memory beyond the substrate's."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Look at the clip limit where gradient and loss jump together."""
        norm = view.norm
        spike = norm.ok & (norm.z >= norm.limit)
        if not spike.any():
            return state, quiet(view, known=norm.ok)
        spike &= (norm.y - norm.median >= bits(self.far_bits)) & (view.loss.z >= self.loss_z)
        spike &= norm.count >= self.warm_up
        usual = np.sort(norm.window(LONGEST_WINDOW), axis=1)[:, LONGEST_WINDOW * 99 // 100 - 1]
        limit = view.measured("clip_norm")
        none = ~(limit > 0)
        loose = log2_fixed(np.where(none, 1.0, limit)) - usual >= bits(self.above_bits)

        def describe(row: int) -> Sighting:
            high, step = as_value(usual[row]), int(view.step[row])
            what = "no clip limit is reported" if none[row] else f"the clip limit {limit[row]:.3g}"
            far = "" if none[row] else f" is {limit[row] / high:.0f} times as large as almost any"
            text = f"{what}{far} (99 % of the norms are below {high:.3g}), and a spike went through"
            value = None if none[row] else float(limit[row] / high)
            fact = Evidence("clip-ineffective", text, step, value, 2.0**self.above_bits)
            return Sighting((fact,))

        level = levels(view, (Severity.INFO, spike & (none | loose)))
        return state, Signal(level, ~spike, describe, norm.ok)
