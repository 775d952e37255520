"""vanishing-absolute: half of the layers get practically no gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import as_bits
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import Evidence, FloatArray, IntArray, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class VanishingAbsolute:
    """Gradient rms below 1e-7 in half of the layers, two blocks in a row (SageMaker's limit).

    A loss below 1 lowers the limit in proportion: gradients may vanish because the net has learned.
    Ends after two blocks (32 reports) without. The state counts the blocks in a row.

    Source: SageMaker Debugger's VanishingGradient (mean |g| < 1e-7); the share and the part of the
    loss: Gradwatch.
    """

    id: ClassVar[str] = "vanishing-absolute"
    clear_after: ClassVar[int] = 32
    rms: float = settable(1e-7, "gradient rms below which a layer does not learn", 1e-12, 0.001)
    share: float = settable(0.5, "share of such layers", 0.05, 1.0, "share")
    blocks: int = 2

    def init(self, _layers: LayerTable) -> int:
        """No block so far."""
        return 0

    def update(self, state: int, view: View) -> tuple[int, Signal]:
        """Judge the layers where a block closes."""
        calm = throughout(view, holds=state == 0)
        if view.block is None:
            return state, quiet(view, calm)
        rms, known = view.block.rms_bits
        if not known.any():
            return state, quiet(view, calm)
        faint = (known & (rms < math.log2(self.rms) + learned_bits(view.loss))).nonzero()[0]
        if not len(faint) or len(faint) < self.share * known.sum():
            return 0, quiet(view, calm)

        def describe(row: int) -> Sighting:
            order = faint[np.argsort(rms[faint], kind="stable")]
            return self._describe(view, row, order, rms[known])

        holds = last_row(view) & (state + 1 >= self.blocks)
        return state + 1, Signal(levels(view, (Severity.WARNING, holds)), calm, describe)

    def _describe(self, view: View, row: int, faint: IntArray, rms: FloatArray) -> Sighting:
        name, share = view.layers.names[faint[0]], len(faint) / len(rms)
        text = (
            f"{len(faint)} of {len(rms)} layers have a gradient rms below {self.rms:g}; "
            f"faintest {name} with {2.0 ** rms.min():.1e}"
        )
        step = int(view.step[row])
        fact = Evidence("vanishing-absolute", text, step, share, self.share, name)
        return Sighting((fact,), tuple(faint.tolist()))


def learned_bits(loss: Track) -> float:
    """log2 of the median of the last 16 losses if that is below 1, else 0."""
    if loss.linear or loss.count[-1] < BLOCK:
        return 0.0
    return min(as_bits(loss.level(-1)), 0.0)
