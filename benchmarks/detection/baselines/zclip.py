"""ZClip: z-score of the gradient norm against moving mean and variance."""

from __future__ import annotations

import math

import numpy as np

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals

ALPHA, WARM_UP, EPSILON = 0.97, 25, 1e-6


def alarms(signals: Signals, threshold: float) -> Rows:
    """Where it clips: z = (g - mean) / (std + 1e-6) above 2.5, after 25 steps of warm-up.

    Mean and variance are exponential (.97) and take in the clipped norm, mean + 2.5·std·2.5/z.
    A NaN stays in both for good, and nothing is above a NaN. The clip to a fixed ``max_grad_norm``
    that it does besides is no alarm.

    Source: ZClip, arXiv 2504.02507; GitHub bluorion-com/ZClip, ``zclip.py``
    (mode "zscore", "adaptive_scaling").
    """
    rows, (norm,) = signals.scalar("grad_norm")
    found: list[int] = []
    if len(norm) <= WARM_UP:
        return rows[:0]
    with np.errstate(all="ignore"):  # an infinity makes NaN of them, here as there
        mean, variance = float(norm[:WARM_UP].mean()), float(norm[:WARM_UP].var())
    for row, value in zip(rows[WARM_UP:].tolist(), norm[WARM_UP:].tolist(), strict=True):
        std = math.sqrt(variance)
        z = (value - mean) / (std + EPSILON)
        taken = mean + threshold * std * threshold / z if z > threshold else value
        if z > threshold:
            found.append(row)
        mean = ALPHA * mean + (1 - ALPHA) * taken
        variance = ALPHA * variance + (1 - ALPHA) * (taken - mean) * (taken - mean)
    return np.array(found, np.int64)


BASELINES = (Baseline("ZClip 2.5 sigma", "z > {}", 2.5, alarms),)
