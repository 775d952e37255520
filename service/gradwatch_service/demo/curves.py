"""How to read the curve of a training job: its best level, where it was ruined, how it looks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 16
RUINED = 1.5  # times the best level so far, for good
LEVELS = " .:-=+*#%@"
BROKEN = "!"  # a value that is no number


def level(values: Sequence[float]) -> NDArray[np.float64]:
    """The median of the last 16 values at each step; infinite before there are 16, or any is bad.

    Source: a median ignores a single bad batch, which says nothing about how well a job learns.
    """
    series = np.where(np.isfinite(values), values, np.inf)
    if len(series) < WINDOW:
        return np.full(len(series), np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW)
    return np.concatenate([np.full(WINDOW - 1, np.inf), np.median(windows, axis=1)])


def best_step(values: Sequence[float], end: int | None = None) -> int:
    """The step before ``end`` at which the level is lowest."""
    return int(np.argmin(level(values)[:end]))


def first_nonfinite(values: Sequence[float]) -> int | None:
    """The first step whose value is no number; None if all are."""
    bad = (step for step, value in enumerate(values) if not math.isfinite(value))
    return next(bad, None)


def ruin_step(values: Sequence[float]) -> int | None:
    """The first step from which on the level stays over 1.5 times its best so far; None: nowhere.

    A job that ends with a loss that is no number is ruined at that step at the latest.
    """
    levels = level(values)
    bad = levels > RUINED * np.minimum.accumulate(levels)
    good = np.flatnonzero(~bad)
    ruined = int(good[-1]) + 1 if len(good) else 0
    ends = [step for step in (ruined, first_nonfinite(values)) if step is not None]
    return min(ends) if min(ends) < len(values) else None


@dataclass(frozen=True, slots=True)
class Scale:
    """The logarithmic range that several lines share, so that they can be compared by eye."""

    low: float
    high: float
    steps: int

    @staticmethod
    def of(*curves: Sequence[float]) -> Scale:
        """From the smallest value to the largest, at most two powers of ten over the median."""
        logs = np.concatenate([_logarithms(curve) for curve in curves])
        usable = logs[np.isfinite(logs)]
        high = min(float(usable.max()), float(np.median(usable)) + 2.0)
        return Scale(float(usable.min()), high, max(map(len, curves)))


def sparkline(values: Sequence[float], scale: Scale, width: int = 64) -> str:
    """The logarithm of a curve as one line of ASCII, the more ink the higher; ``!`` is no number.

    A character stands for an equal share of ``scale.steps`` and shows the median in it.
    """
    share_count = min(len(values), max(1, round(width * len(values) / scale.steps)))
    return "".join(
        _mark(share, scale) for share in np.array_split(_logarithms(values), share_count)
    )


def _logarithms(values: Sequence[float]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log10(np.asarray(values, dtype=np.float64))


def _mark(share: NDArray[np.float64], scale: Scale) -> str:
    if not (share < np.inf).all():
        return BROKEN
    span = scale.high - scale.low
    held = min(max(float(np.median(share)), scale.low), scale.high)
    place = (held - scale.low) / span if span > 0 else 0.0
    return LEVELS[round(place * (len(LEVELS) - 1))]
