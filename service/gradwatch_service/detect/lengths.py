"""The gradient norm against the sequence length, for rules that look for growth through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.fixedpoint import ONE_BIT, log2_fixed
from gradwatch_service.detect.view import View
from gradwatch_service.domain import FloatArray, IntArray

WINDOW = 64
MIN_LENGTHS = 3  # different ones
_LONGEST = 2**20
_TIME = np.arange(WINDOW, dtype=np.int64) * 2 - (WINDOW - 1)  # centred, in half reports
_TIME_SQUARES = int((_TIME * _TIME).sum())
_FREEDOM = WINDOW - 3  # a mean, a trend and a slope are fitted
_NOTHING_LEFT = 0.5  # of the squares of integers without their trend

# int64[k ≤ 64, 3], oldest first: sequence length, log2 norm, log2 loss (EMPTY: not known).
Lengths = IntArray
NOTHING: Lengths = np.empty((0, 3), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class LengthTrend:
    """By how many ``bits`` the norm grows from the ``shortest`` sequence to the ``longest``."""

    bits: float
    t: float
    shortest: int
    longest: int

    @property
    def beta(self) -> float:
        """Bits a time step."""
        return self.bits / (self.longest - self.shortest)


def follow(lengths: Lengths, view: View) -> Lengths:
    """With the reports of a view that have a length and a norm; the newest 64."""
    if "seq_len" not in view.scalars:
        return lengths
    length = view.scalars["seq_len"]
    known = view.norm.ok & (length >= 1) & (length <= _LONGEST)
    new = np.empty((len(view), 3), dtype=np.int64)
    new[:, 0] = np.where(known, length, 0)
    new[:, 1] = view.norm.y
    new[:, 2] = EMPTY if view.loss.linear else np.where(view.loss.ok, view.loss.y, EMPTY)
    return np.concatenate([lengths, new[known]])[-WINDOW:]


def trend(lengths: Lengths, least_bits: float) -> LengthTrend | None:
    """How the norm grows with the length; None: not by that much, or the lengths do not tell.

    Least squares of log2 norm on the length and the time, so that a curriculum (both grow) says
    nothing. Of two fits the lesser counts: of the norm, and of norm / loss (norm / length where the
    loss is not known), as a loss that is summed over the sequence makes both grow with it. t is
    deflated by sqrt((1-rho)/(1+rho)), rho from the von Neumann ratio of the residuals.
    """
    if len(lengths) < WINDOW or len(set(lengths[:, 0].tolist())) < MIN_LENGTHS:
        return None
    length, norm, loss = lengths.T
    x, y = _detrended(length), _detrended(norm)
    if _dot(x, x) <= _NOTHING_LEFT:
        return None
    shortest, longest = int(length.min()), int(length.max())
    least = least_bits * ONE_BIT / (longest - shortest)
    if _dot(x, y) / _dot(x, x) < least:
        return None
    unit = log2_fixed(length.astype(np.float64)) if (loss == EMPTY).any() else loss
    slope, t = min(_fit(x, y), _fit(x, _detrended(norm - unit)))
    if slope < least:
        return None
    return LengthTrend(slope * (longest - shortest) / ONE_BIT, t, shortest, longest)


def _fit(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    """Slope of y over x, and its t."""
    spread = _dot(x, x)
    slope = _dot(x, y) / spread
    residual = y - slope * x
    squares = max(_dot(residual, residual), 1.0)
    jitter = np.diff(residual)
    rho = min(max(1 - _dot(jitter, jitter) / squares / 2, 0.0), 0.95)
    error = (squares / _FREEDOM / spread) ** 0.5
    return slope, slope / error * ((1 - rho) / (1 + rho)) ** 0.5


def _detrended(values: IntArray) -> FloatArray:
    """What is left of 64 values without their mean and their trend; the sums are exact."""
    slope = int((values * _TIME).sum()) / _TIME_SQUARES
    return np.asarray(values - int(values.sum()) / WINDOW - slope * _TIME)


def _dot(x: FloatArray, y: FloatArray) -> float:
    """Summed one by one, as the pairwise sum of numpy may depend on the shape."""
    return float(np.add.accumulate(x * y)[-1])
