"""gradient-growth: the gradient norm climbs exponentially; doubling time, steps to overflow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import ONE_BIT, Fixed, bits
from gradwatch_service.detect.formats import global_norm_limit
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, FloatArray, LayerTable, Severity

WINDOW = 32
_TIME = np.arange(WINDOW, dtype=np.int64) * 2 - (WINDOW - 1)  # centred, in half reports
_TIME_SQUARES = int((_TIME * _TIME).sum())
_LOSS_MOVES = bits(0.05)


@dataclass(frozen=True, slots=True)
class Trend:
    """A line through log2 ‖g‖ over 32 values, per row, float64[n]; unit bits per value."""

    slope: FloatArray
    error: FloatArray
    t: FloatArray


@dataclass(frozen=True, slots=True)
class GradientGrowth:
    """A significant upward trend of log2 ‖g‖ over 32 values while the loss does not fall.

    t ≥ 6, a rise of ≥ 2 bits over them, ≥ 2 bits above the slow level. A warning; an error if
    overflow may come within 256 reports, critical within 32. Where the learning rate, the batch or
    the sequences have just changed and the loss does not rise, it is information unless critical.
    Ends after 32 reports with a rise of less than 1 bit: one of 0 may take noise a thousand reports
    to show.

    Source: t is deflated for the autocorrelation of the residuals as by Santer et al. 2000 (doi
    10.1029/1999JD901105), rho is from the ratio of von Neumann 1941; limits Gradwatch, measured by
    benchmarks/detection.
    """

    id: ClassVar[str] = "gradient-growth"
    clear_after: ClassVar[int] = 32
    t_limit: float = settable(6.0, "how significant the trend must be (t)", 3.0, 30.0)
    rise_bits: float = settable(2.0, "rise within 32 reports, in powers of two", 1.0, 32.0, "bits")
    clear_rise_bits: float = 1.0
    above_slow_bits: float = 2.0
    error_within: float = 256.0
    critical_within: float = 32.0

    def init(self, _layers: LayerTable) -> None:
        """No memory beyond the substrate's."""

    def update(self, state: None, view: View) -> tuple[None, Signal]:
        """Fit the trend where the norm has risen by enough."""
        norm = view.norm
        if not norm.ready:
            return state, quiet(view, known=norm.measured)
        window = norm.window(WINDOW)
        rise = _slope(window @ _TIME) * WINDOW
        calm = norm.ok & (rise < self.clear_rise_bits)
        rises = norm.ok & (rise >= self.rise_bits)
        if rises.any():
            rises &= norm.y - norm.slow >= bits(self.above_slow_bits)
        if not rises.any():
            return state, quiet(view, calm, norm.measured)
        trend = fit(window)
        loss = _loss_change(view)
        grows = rises & (trend.t >= self.t_limit) & ~(loss < -_LOSS_MOVES)
        alarms = grows & ~(view.announced & (loss <= _LOSS_MOVES))
        # A value need not come with every report: from here on per report.
        pace = (WINDOW - 1) / norm.span(WINDOW)
        left = (global_norm_limit(view.layers) - norm.y) / ONE_BIT
        earliest = left / ((trend.slope + 2 * trend.error) * pace)
        level = levels(
            view,
            (Severity.INFO, grows),
            (Severity.WARNING, alarms),
            (Severity.ERROR, alarms & (earliest < self.error_within)),
            (Severity.CRITICAL, grows & (earliest < self.critical_within)),
        )

        def describe(row: int) -> Sighting:
            slope = float(trend.slope[row] * pace[row])
            return self._describe(int(view.step[row]), slope, left[row] / slope, earliest[row])

        return state, Signal(level, calm, describe, norm.measured)

    def _describe(self, step: int, slope: float, overflow: float, earliest: float) -> Sighting:
        doubling, within = 1 / slope, f"{overflow:.0f} reports (earliest {earliest:.0f})"
        text = (
            f"the gradient norm doubles every {doubling:.1f} reports; "
            f"at this rate it overflows in about {within}"
        )
        limit = self.rise_bits / WINDOW
        return Sighting(
            (
                Evidence("gradient-growth", text, step, slope, limit),
                Evidence("doubling-time", f"doubling time {doubling:.1f} reports", step, doubling),
                Evidence("steps-to-overflow", f"overflow in {within}", step, float(overflow)),
            )
        )


def fit(window: Fixed) -> Trend:
    """Least squares over each row of ``window`` int[n, 32] with a t that allows for correlation.

    rho, from the von Neumann ratio of the residuals, clipped to [0, .95], deflates t by
    sqrt((1-rho)/(1+rho)). Everything is worked out from sums of integers, which are exact, so the
    result does not depend on the batch.
    """
    y = window.astype(np.int64)
    y = y - y[:, :1]
    steps = np.diff(y, axis=1)
    cross, total = (y * _TIME).sum(axis=1), y.sum(axis=1)
    half = cross / _TIME_SQUARES  # slope in units per half report
    squares = (y * y).sum(axis=1) - total * total / WINDOW - cross * half
    squares = np.maximum(squares, 1.0)  # of the residuals
    jitter = (steps * steps).sum(axis=1) - 4 * half * y[:, -1] + 4 * (WINDOW - 1) * half * half
    rho = np.clip(1 - jitter / squares / 2, 0.0, 0.95)
    error = np.sqrt(squares / (WINDOW - 2) / _TIME_SQUARES)
    t = half / error * np.sqrt((1 - rho) / (1 + rho))
    return Trend(slope=_slope(cross), error=error * 2 / ONE_BIT, t=t)


def _slope(cross: np.ndarray) -> FloatArray:
    return np.asarray(cross * (2 / _TIME_SQUARES / ONE_BIT))


def _loss_change(view: View) -> FloatArray:
    """Median of the last 8 less that of the first 8 of 32 losses, float64[n]; NaN: not known."""
    window = view.loss.window(WINDOW)
    early = np.sort(window[:, :8], axis=1)[:, 4]
    late = np.sort(window[:, -8:], axis=1)[:, 4]
    return np.where(view.loss.count >= WINDOW, late - early, np.nan)
