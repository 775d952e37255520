"""depth-explosion: the back-propagated signal grows from layer to layer towards the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect.block import DepthProfile
from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class DepthExplosion:
    """D = -slope·(K-1) ≥ 6.13 bits (70x, as AutoTrainer) or ≥ 10, rank correlation ≥ .8, K ≥ 4.

    Judged on block medians, two blocks in a row; ends after two blocks (32 reports) without. The
    state counts the blocks in a row.

    Source: AUTOTRAINER (Zhang et al. 2021), whose ratio of 70 between the first and the last
    layer's gradient this is; the back-propagated signal instead of weight gradients: Gradwatch
    (DETECTORS section 1, point 1).
    """

    id: ClassVar[str] = "depth-explosion"
    clear_after: ClassVar[int] = 32
    warning_bits: float = settable(
        6.13,
        "growth from the last to the first layer, in powers of two, for a warning",
        2.0,
        64.0,
        "bits",
    )
    error_bits: float = settable(
        10.0,
        "growth from the last to the first layer, in powers of two, for an error",
        2.0,
        64.0,
        "bits",
    )
    spearman: float = 0.8
    blocks: int = 2

    def init(self, _layers: LayerTable) -> int:
        """No block so far."""
        return 0

    def update(self, state: int, view: View) -> tuple[int, Signal]:
        """Judge the profile where a block closes."""
        calm = throughout(view, holds=state == 0)
        profile = view.block.depth_profile if view.block is not None else None
        if profile is None:
            return state, quiet(view, calm)
        growth = profile.growth_bits
        holds = growth >= self.warning_bits and -profile.spearman >= self.spearman
        if not holds:
            return 0, quiet(view, calm)
        now = last_row(view) & (state + 1 >= self.blocks)
        level = levels(
            view,
            (Severity.WARNING, now),
            (Severity.ERROR, now & (growth >= self.error_bits)),
        )

        def describe(row: int) -> Sighting:
            return self._describe(view, int(view.step[row]), profile)

        return state + 1, Signal(level, calm, describe)

    def _describe(self, view: View, step: int, profile: DepthProfile) -> Sighting:
        names = [view.layers.names[column] for column in profile.columns]
        growth = profile.growth_bits
        text = (
            f"the back-propagated signal grows by {power(growth):.3g} from {names[-1]} back to "
            f"{names[0]} ({-profile.slope:.2f} bits a layer over {len(names)} layers)"
        )
        fact = Evidence("depth-explosion", text, step, growth, self.warning_bits, names[0])
        return Sighting((fact,), tuple(profile.columns.tolist()))
