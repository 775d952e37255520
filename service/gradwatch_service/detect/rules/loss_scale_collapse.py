"""loss-scale-collapse: the loss scaler halves and halves, as the gradients keep overflowing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.rule import Sighting, Signal, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, LayerTable, Severity

WINDOW = 200
CLEAN = 16


@dataclass(frozen=True, slots=True)
class Scaler:
    """The loss scaler over the ``count`` reports that told of it.

    ``scale``, ``peak``: newest and highest scale; ``calibrated``: 16 reports on end were clean, or
    200 are over; ``settled``: the scale until then; ``clean``, ``streak``: reports on end without
    and with an overflow; ``overflows``, ``halvings``: which of the last 200 had one, once
    calibrated; ``told``: the job sends ``found_inf``.
    """

    count: int = 0
    scale: float = math.nan
    peak: float = 0.0
    calibrated: bool = False
    settled: float = 0.0
    clean: int = 0
    streak: int = 0
    overflows: tuple[int, ...] = ()
    halvings: tuple[int, ...] = ()
    told: bool = False

    def after(self, scale: float, found_inf: float) -> Scaler:
        """With one more report; a NaN was not measured."""
        told = self.told or not math.isnan(found_inf)
        now = self.scale if math.isnan(scale) else scale
        falls = now < self.scale
        overflows = found_inf > 0 or (falls and not told)
        count, clean = self.count + 1, (self.clean + 1) * (not overflows)
        calibrated = self.calibrated or clean >= CLEAN or count > WINDOW
        return Scaler(
            count=count,
            scale=now,
            peak=max(self.peak, now),  # which is not moved by a NaN
            calibrated=calibrated,
            settled=self.settled if self.calibrated else now,
            clean=clean,
            streak=(self.streak + 1) * overflows,
            overflows=_recent(self.overflows, count, happens=overflows and calibrated),
            halvings=_recent(self.halvings, count, happens=falls and calibrated),
            told=told,
        )

    @property
    def moved(self) -> bool:
        """Whether the newest report had an overflow or a halving."""
        return self.streak > 0 or self.halvings[-1:] == (self.count,)


def _recent(places: tuple[int, ...], count: int, *, happens: bool) -> tuple[int, ...]:
    kept = places[1:] if places and places[0] <= count - WINDOW else places
    return (*kept, count) if happens else kept


@dataclass(frozen=True, slots=True)
class LossScaleCollapse:
    """≥ 4 overflows on end, or in > 5 % of 200 reports (warning); a scale that falls (error).

    The error: a scale ≤ 128 and 16 times below the one calibration settled on, ≥ 8 halvings in 200
    reports, or as many overflows on end. Critical: a scale ≤ 1 that has fallen by 16 times. The
    first halvings, from a scale that is meant to be too high, are calibration: until 16 reports on
    end were clean, or 200 are over; and nothing but a critical scale counts in the first 50. Where
    ``found_inf`` is not sent a fall of the scale stands for it. Ends after 500 reports without an
    overflow.

    Source: PyTorch's GradScaler and DeepSpeed's loss scaler, which halve at every overflow; 128 and
    1 are where a scale no longer lifts small gradients into the range of float16.
    """

    id: ClassVar[str] = "loss-scale-collapse"
    clear_after: ClassVar[int] = 500
    warm_up: int = 50
    in_a_row: int = 4
    share: float = settable(
        0.05, "share of overflows in 200 reports for a warning", 0.01, 0.5, "share"
    )
    low: float = settable(128.0, "loss scale at which a fall is an error", 1.0, 65536.0)
    least: float = 1.0
    fall: float = 16.0
    halvings: int = 8

    def init(self, _layers: LayerTable) -> Scaler:
        """No report so far."""
        return Scaler()

    def update(self, state: Scaler, view: View) -> tuple[Scaler, Signal]:
        """Follow the scaler report by report."""
        if "found_inf" not in view.scalars and "loss_scale" not in view.scalars:
            return state, quiet(view, known=throughout(view, holds=False))
        scales, infs = view.measured("loss_scale"), view.measured("found_inf")
        known = ~(np.isnan(scales) & np.isnan(infs))
        level, after = np.zeros(len(view), dtype=np.int8), []
        for row, (scale, inf) in enumerate(zip(scales.tolist(), infs.tolist(), strict=True)):
            if known[row]:
                state = state.after(scale, inf)
                level[row] = self._severity(state) if state.moved else 0
            after.append(state)
        calm = np.array([not one.moved for one in after])
        if not level.any():
            return state, quiet(view, calm, known)

        def describe(row: int) -> Sighting:
            return self._describe(after[row], int(view.step[row]))

        return state, Signal(level, calm, describe, known)

    def _severity(self, scaler: Scaler) -> int:
        if scaler.scale <= self.least and scaler.peak >= self.fall * scaler.scale:
            return Severity.CRITICAL
        if not scaler.calibrated or scaler.count <= self.warm_up:
            return 0
        fallen = scaler.scale <= self.low and scaler.settled >= self.fall * scaler.scale
        if fallen or max(len(scaler.halvings), scaler.streak) >= self.halvings:
            return Severity.ERROR
        often = len(scaler.overflows) > self.share * WINDOW
        return Severity.WARNING if often or scaler.streak >= self.in_a_row else 0

    def _describe(self, scaler: Scaler, step: int) -> Sighting:
        often = len(scaler.overflows)
        scale = "" if math.isnan(scaler.scale) else f"; the loss scale is {scaler.scale:g}"
        text = (
            f"the gradients overflowed {often} times in {WINDOW} reports, {scaler.streak} times "
            f"on end{scale}"
        )
        return Sighting(
            (Evidence("loss-scale-collapse", text, step, float(often), self.share * WINDOW),)
        )
