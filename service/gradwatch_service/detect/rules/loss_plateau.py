"""loss-plateau: the loss has stopped falling although the learning rate is still high."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import FLOOR, as_bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

KEPT = 32
# The variance of Kendall's S over 32 values, times 18: n (n - 1) (2n + 5).
_VARIANCE_BY_18 = KEPT * (KEPT - 1) * (2 * KEPT + 5)
_NORMAL_97_5 = 1.96


@dataclass(frozen=True, slots=True)
class Course:
    """Medians of the last 32 stretches of 16 losses; the highest learning rate at their ends.

    ``linear``: the unit of the losses; ``flat``: the rule held at the last end.
    """

    losses: tuple[int, ...] = ()
    peak_lr: float = 0.0
    linear: bool = False
    flat: bool = False


@dataclass(frozen=True, slots=True)
class LossPlateau:
    """The last 256 losses gain < .5 % on the 256 before, and no trend: information.

    Judged on medians of 16: those of the newer 16 against the older 16, and Mann-Kendall over the
    32 with p > .05. Not where the learning rate is below a tenth of its highest, nor at a loss of
    exactly 0. From the 512th loss on. Ends after 64 reports in which one of these is otherwise.

    Source: LossNotDecreasing of SageMaker Debugger; the test is Mann 1945, Kendall 1975.
    """

    id: ClassVar[str] = "loss-plateau"
    clear_after: ClassVar[int] = 64
    gain: float = settable(
        0.005,
        "gain of 256 losses on the 256 before, below which it is a plateau",
        0.0001,
        0.2,
        "share",
    )
    share_of_peak: float = 0.1
    normal: float = _NORMAL_97_5

    def init(self, _layers: LayerTable) -> Course:
        """No stretch so far."""
        return Course()

    def update(self, state: Course, view: View) -> tuple[Course, Signal]:
        """Judge the course of the loss where a stretch of 16 values ends."""
        loss, row = view.loss, view.loss.stretch
        if row is None:
            return state, stretches.within(view, loss.ok, calm=not state.flat)
        before = state.losses if state.linear == loss.linear else ()
        losses = (*before, loss.level(row))[-KEPT:]
        lr = float(view.scalar("lr")[row])
        peak = max(state.peak_lr, lr) if math.isfinite(lr) else state.peak_lr
        flat = len(losses) == KEPT and not lr < self.share_of_peak * peak
        flat = flat and self._is_flat(losses, linear=loss.linear)

        def describe(at: int) -> Sighting:
            older, newer = stretches.median(losses[:BLOCK]), stretches.median(losses[BLOCK:])
            gained = (older - newer) / max(abs(older), 1)
            gained = gained if loss.linear else 1 - 2.0 ** as_bits(newer - older)
            text = (
                f"the loss has gained {gained:.2%} in {KEPT * BLOCK // 2} reports, and shows no "
                "trend"
            )
            step = int(view.step[at])
            return Sighting((Evidence("loss-plateau", text, step, gained, self.gain),))

        severity = Severity.INFO if flat else 0
        calm = not state.flat, not flat
        signal = stretches.judged(view, row, severity, calm, loss.ok, describe)
        return Course(losses, peak, loss.linear, flat), signal

    def _is_flat(self, losses: tuple[int, ...], *, linear: bool) -> bool:
        older, newer = stretches.median(losses[:BLOCK]), stretches.median(losses[BLOCK:])
        least = abs(older) * self.gain if linear else log2_bits(1 + self.gain)
        if older - newer >= least or newer == FLOOR:
            return False
        return _trend(losses) ** 2 * 18 < self.normal**2 * _VARIANCE_BY_18


def _trend(values: tuple[int, ...]) -> int:
    """Kendall's S: pairs in which the later value is larger, less those in which it is smaller."""
    held = np.array(values)
    return int(np.triu(np.sign(held[None, :] - held[:, None])).sum())
