"""depth-vanishing: the back-propagated signal dies on its way to the first layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.block import Block, DepthProfile
from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class DepthVanishing:
    """D ≤ -10 bits and the first layer's gradient rms below 1e-7 or 1e-4 of the median layer's.

    Judged on block medians from the 32nd report on; ends after two blocks (32 reports) without.
    The state tells whether the last block showed it.

    Source: AUTOTRAINER (Zhang et al. 2021) for the ratio between layers; SageMaker Debugger's
    VanishingGradient for 1e-7.
    """

    id: ClassVar[str] = "depth-vanishing"
    clear_after: ClassVar[int] = 32
    shrink_bits: float = settable(
        10.0, "loss from the last to the first layer, in powers of two", 3.0, 64.0, "bits"
    )
    absolute_rms: float = 1e-7
    relative_rms: float = 1e-4
    warm_up: int = 32

    def init(self, _layers: LayerTable) -> bool:
        """Not seen."""
        return False

    def update(self, state: bool, view: View) -> tuple[bool, Signal]:
        """Judge the profile where a block closes."""
        calm = throughout(view, holds=not state)
        profile = view.block.depth_profile if view.block is not None else None
        if view.block is None or profile is None:
            return state, quiet(view, calm)
        if profile.growth_bits > -self.shrink_bits or view.ordinal[-1] < self.warm_up - 1:
            return False, quiet(view, calm)
        first, typical = _rms(view.block, int(profile.columns[0]))
        limit = max(math.log2(self.absolute_rms), typical + math.log2(self.relative_rms))
        if not first < limit:
            return False, quiet(view, calm)

        def describe(row: int) -> Sighting:
            return self._describe(view, row, profile, (first, typical))

        return True, Signal(levels(view, (Severity.WARNING, last_row(view))), calm, describe)

    def _describe(
        self, view: View, row: int, profile: DepthProfile, rms: tuple[float, float]
    ) -> Sighting:
        name, shrink = view.layers.names[profile.columns[0]], -profile.growth_bits
        text = (
            f"the gradient shrinks by {power(shrink):.3g} on its way back to {name}, whose "
            f"gradient rms is {2.0 ** rms[0]:.1e} (median layer {2.0 ** rms[1]:.1e})"
        )
        fact = Evidence(
            "depth-vanishing", text, int(view.step[row]), shrink, self.shrink_bits, name
        )
        return Sighting((fact,), tuple(profile.columns.tolist()))


def _rms(block: Block, column: int) -> tuple[float, float]:
    """log2 gradient rms of one layer and of the median layer; NaN if that of the one is unknown."""
    rms, known = block.rms_bits
    if not known[column]:
        return math.nan, math.nan
    ordered = np.sort(rms[known])
    return float(rms[column]), float(ordered[len(ordered) // 2])
