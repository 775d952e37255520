"""clip-saturation: gradient clipping cuts nearly every step, and the loss does not fall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import Fixed, as_bits, bits, log2_bits, log2_fixed
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity

WINDOW = 256
_RATES = 5
_NOTHING: Fixed = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Clipping:
    """log2(norm / limit) of the last 256 reports with both, int32[≤ 256]; the last 5 blocks' lr."""

    excess: Fixed
    rates: tuple[float, ...] = ()
    calm: bool = True


@dataclass(frozen=True, slots=True)
class ClipSaturation:
    """Of 256 norms ≥ .5 over ``clip_norm``, the median by 2x (warning); ≥ .9, by 4x (error).

    Constant clipping is a habit that does no harm as a rule, so it must be seen to: the updates are
    small (median uw of 16 below 1e-4) and without the clip would not be; or, where uw is unknown,
    the median norm is 64 times the limit. And the last 128 losses do not fall, and the learning
    rate does not rise. Judged where a block ends. Ends after 32 reports with less than .25 clipped.

    Source: limits Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "clip-saturation"
    clear_after: ClassVar[int] = 32
    warning_share: float = settable(0.5, "share of clipped norms for a warning", 0.3, 1.0, "share")
    warning_bits: float = 1.0
    error_share: float = settable(0.9, "share of clipped norms for an error", 0.3, 1.0, "share")
    error_bits: float = 2.0
    clear_share: float = 0.25
    loss_fall: float = 0.02
    small_ratio: float = 1e-4
    far_bits: float = 6.0

    def init(self, _layers: LayerTable) -> Clipping:
        """No norm so far."""
        return Clipping(_NOTHING)

    def update(self, state: Clipping, view: View) -> tuple[Clipping, Signal]:
        """Collect the norms over their limits; judge them where a block ends."""
        if view.block is None and "clip_norm" not in view.scalars:
            return state, quiet(view, known=throughout(view, holds=False))
        known, excess = _followed(state.excess, view)
        calm = throughout(view, state.calm)
        if view.block is None:
            return Clipping(excess, state.rates, state.calm), quiet(view, calm, known)
        rates = (*state.rates, view.number("lr", -1))[-_RATES:]
        share = int(np.count_nonzero(excess > 0)) / max(len(excess), 1)
        state = Clipping(excess, rates, share < self.clear_share)
        if calm[-1] != state.calm:
            calm = calm ^ last_row(view)
        severity = self._severity(excess, share)
        if not severity or _rises(rates) or not self._harms(excess, view):
            return state, quiet(view, calm, known)

        def describe(row: int) -> Sighting:
            factor = 2.0 ** as_bits(stretches.median(excess.tolist()))
            text = (
                f"{share:.0%} of the last {WINDOW} gradients were clipped, the median by a factor "
                f"{factor:.3g}, and the loss does not fall"
            )
            fact = Evidence("clip-saturation", text, int(view.step[row]), share, self.warning_share)
            return Sighting((fact,))

        return state, Signal(levels(view, (severity, last_row(view))), calm, describe, known)

    def _severity(self, excess: Fixed, share: float) -> int:
        if len(excess) < WINDOW or share < self.warning_share:
            return 0
        median = stretches.median(excess.tolist())
        if share >= self.error_share and median >= bits(self.error_bits):
            return Severity.ERROR
        return Severity.WARNING if median >= bits(self.warning_bits) else 0

    def _harms(self, excess: Fixed, view: View) -> bool:
        """Whether the clip, and nothing else, makes the updates small, and the loss stand."""
        if stretches.falls(view.loss, -1, self.loss_fall):
            return False
        factor, ratio = stretches.median(excess.tolist()), view.ratio
        if ratio.count[-1] < BLOCK:
            return factor >= bits(self.far_bits)
        now, small = ratio.level(-1), log2_bits(self.small_ratio)
        return now < small <= now + factor


def _followed(excess: Fixed, view: View) -> tuple[BoolArray, Fixed]:
    """Which reports have a norm and a limit, and the newest 256 excesses with theirs."""
    if "clip_norm" not in view.scalars:
        return throughout(view, holds=False), excess
    limit = view.measured("clip_norm")
    known = view.norm.ok & (limit > 0)
    new = (view.norm.y - log2_fixed(limit))[known]
    return known, np.concatenate([excess, new])[-WINDOW:]


def _rises(rates: tuple[float, ...]) -> bool:
    return rates[-1] > rates[0]
