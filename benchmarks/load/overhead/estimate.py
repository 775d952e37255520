"""The overhead and how sure it is: the median ratio of paired blocks, bootstrapped; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES, INTERVAL = 2_000, (0.025, 0.975)


@dataclass(frozen=True)
class Overhead:
    """By how much a step takes longer (0.01: one per cent), with a 95 % interval."""

    ratio: float
    low: float
    high: float


def share(part: Sequence[float], bare: Sequence[float]) -> Overhead:
    """What a part of a watched step takes of a bare one of the same round."""
    return overhead(list(np.array(part) + np.array(bare)), bare)


def overhead(watched: Sequence[float], bare: Sequence[float]) -> Overhead:
    """From seconds a step of the same rounds.

    Ratios are taken within a round, so that a machine that slows down in between does not matter.
    """
    ratios = np.array(watched) / np.array(bare) - 1.0
    drawn = np.random.default_rng(7).choice(ratios, size=(RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), INTERVAL)
    return Overhead(float(np.median(ratios)), float(low), float(high))
