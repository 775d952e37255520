"""slow-run: steps take much longer than they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.context import RATIO
from gradwatch_service.detect.fixedpoint import as_value, log2_bits, log2_fixed
from gradwatch_service.detect.rule import Sighting, Signal, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity

KEPT = 64


@dataclass(frozen=True, slots=True)
class Pace:
    """log2 seconds of the open stretch, the medians of the last 64, the size of a step."""

    open: tuple[int, ...] = ()
    medians: tuple[int, ...] = ()
    size: float = 1.0
    calm: bool = True


@dataclass(frozen=True, slots=True)
class SlowRun:
    """Four medians of 16 ``step_seconds`` on end over 1.25 times the run's (information), or twice.

    Twice is a warning. The run's: the median of the up to 60 medians before those four. Judged from
    the 192nd value on; begins anew when batch size times sequence length changes by a quarter,
    which makes steps longer. It is about the machine, not about the training. Ends after 32 reports
    once a median is below 1.25 times.

    Source: SageMaker Debugger's step outliers; 1.25 times the run's median of DETECTORS section 3,
    but sustained, as shared machines are slower now and then.
    """

    id: ClassVar[str] = "slow-run"
    clear_after: ClassVar[int] = 32
    slow: float = settable(
        1.25, "seconds a step over the run's usual, for information", 1.05, 10.0, "times"
    )
    warning: float = settable(
        2.0, "seconds a step over the run's usual, for a warning", 1.05, 100.0, "times"
    )
    in_a_row: int = 4
    least: int = 8

    def init(self, _layers: LayerTable) -> Pace:
        """No step so far."""
        return Pace()

    def update(self, state: Pace, view: View) -> tuple[Pace, Signal]:
        """Judge the pace where a stretch of 16 values ends."""
        seconds = view.scalars.get("step_seconds")
        if seconds is None:
            return state, quiet(view, known=throughout(view, holds=False))
        known = (seconds > 0) & (seconds < np.inf)
        values = (*state.open, *log2_fixed(seconds)[known].tolist())
        if len(values) < BLOCK:
            state = Pace(values, state.medians, state.size, state.calm)
            return state, stretches.within(view, known, calm=state.calm)
        row = _end(known, BLOCK - len(state.open))
        size = _size(view, row, state.size)
        changed = max(size, state.size) >= RATIO * min(size, state.size) and size != state.size
        medians = () if changed else (*state.medians, stretches.median(values[:BLOCK]))[-KEPT:]
        newest, before = medians[-self.in_a_row :], medians[: -self.in_a_row]
        usual = stretches.median(before) if len(before) >= self.least else None
        over = min(newest) - usual if usual is not None else 0
        calm = usual is None or medians[-1] - usual < log2_bits(self.slow)
        after = Pace(values[BLOCK:], medians, size, calm)

        def describe(at: int) -> Sighting:
            return self._describe(newest[-1], usual or 0, int(view.step[at]))

        severity = self._severity(over)
        return after, stretches.judged(view, row, severity, (state.calm, calm), known, describe)

    def _severity(self, over: int) -> int:
        if over >= log2_bits(self.warning):
            return Severity.WARNING
        return Severity.INFO if over >= log2_bits(self.slow) else 0

    def _describe(self, now: int, usual: int, step: int) -> Sighting:
        seconds, normal = as_value(now), as_value(usual)
        times = seconds / normal
        text = f"a step takes {seconds:.3g} s, {times:.2g} times its usual {normal:.3g} s"
        return Sighting((Evidence("slow-run", text, step, times, self.slow),))


def _end(known: BoolArray, wanted: int) -> int:
    """The row of the value that completes the stretch."""
    return int(np.flatnonzero(known)[wanted - 1])


def _size(view: View, row: int, before: float) -> float:
    """Batch size times sequence length at a row, as far as they are known."""
    factors = (view.number(name, row) for name in ("batch_size", "seq_len"))
    known = [factor for factor in factors if factor > 0]
    return float(np.prod(known)) if known else before
