"""gradient-creep: the gradient norm rises too slowly to be seen in 32 values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import as_bits, bits
from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

KEPT, LAG = 64, 2
_FLOOR = bits(0.04)
_NO_LOSS = 2**30


@dataclass(frozen=True, slots=True)
class Creep:
    """Medians of the last 64 stretches of 16 norms, the losses there, and the CUSUM."""

    norms: tuple[int, ...] = ()
    losses: tuple[int, ...] = ()
    cusum: float = 0.0


@dataclass(frozen=True, slots=True)
class GradientCreep:
    """CUSUM over block medians of log2 ‖g‖: C = max(0, C + min(z, 4) - 1) ≥ 8.

    z is a median of 16 norms against the 64 before it but for the last two, in robust scales: on
    single reports it would give 43 alarms in 10,000 healthy ones. A warning if the norm is up by
    ``rise_bits`` and the loss not down by 2 %: gradients may well grow while a net learns. From the
    65th median (1,040 values) on. Ends after 16 reports with C < 2; C is held below 16, so that a
    new level is an old one after 14 medians.

    Source: Page's CUSUM (Biometrika 1954); on block medians Gradwatch, measured by
    benchmarks/detection.
    """

    id: ClassVar[str] = "gradient-creep"
    clear_after: ClassVar[int] = 16
    limit: float = settable(8.0, "how much slow rise must add up (CUSUM)", 4.0, 15.0)
    clear: float = 2.0
    largest: float = 16.0
    most: float = 4.0
    allowance: float = 1.0
    rise_bits: float = settable(
        1.0, "least rise of the gradient norm, in powers of two", 0.25, 16.0, "bits"
    )
    loss_fall_bits: float = 0.03

    def init(self, _layers: LayerTable) -> Creep:
        """No stretch so far."""
        return Creep()

    def update(self, state: Creep, view: View) -> tuple[Creep, Signal]:
        """Judge the norm where a stretch of 16 values ends."""
        norm, was_calm = view.norm, state.cusum < self.clear
        row = norm.stretch
        if row is None:
            return state, stretches.within(view, norm.ok, calm=was_calm)
        median, loss = norm.level(row), _loss(view, row)
        rise, cusum = self._cusum(state, median)
        creeps = cusum >= self.limit and rise >= bits(self.rise_bits)
        creeps = creeps and not _falls(state.losses, loss, bits(self.loss_fall_bits))
        state = Creep((*state.norms, median)[-KEPT:], (*state.losses, loss)[-KEPT:], cusum)

        def describe(at: int) -> Sighting:
            text = (
                f"the gradient norm has crept up to {2.0 ** as_bits(rise):.2g} times its level of "
                f"the last {KEPT * BLOCK:,} values while the loss does not fall "
                f"(CUSUM {cusum:.1f}, limit {self.limit:g})"
            )
            step = int(view.step[at])
            return Sighting((Evidence("gradient-creep", text, step, cusum, self.limit),))

        severity = Severity.WARNING if creeps else 0
        calm = was_calm, cusum < self.clear
        return state, stretches.judged(view, row, severity, calm, norm.ok, describe)

    def _cusum(self, state: Creep, median: int) -> tuple[int, float]:
        """How far the median stands over the reference, in units, and the CUSUM with it."""
        if len(state.norms) < KEPT:
            return 0, 0.0
        reference = state.norms[:-LAG]
        usual = stretches.median(reference)
        rise = median - usual
        if not state.cusum and rise <= _FLOOR:  # at most one scale
            return rise, 0.0
        z = rise / max(stretches.spread(reference, usual), _FLOOR)
        cusum = state.cusum + min(z, self.most) - self.allowance
        return rise, min(max(0.0, cusum), self.largest)


def _loss(view: View, row: int) -> int:
    """The median of the last 16 losses, if it has a logarithm."""
    loss = view.loss
    if loss.linear or loss.count[row] < BLOCK:
        return _NO_LOSS
    return loss.level(row)


def _falls(before: tuple[int, ...], now: int, by: int) -> bool:
    """Whether the loss is below its level in the reference."""
    known = [loss for loss in before[:-LAG] if loss != _NO_LOSS]
    return bool(known) and now != _NO_LOSS and now < stretches.median(known) - by
