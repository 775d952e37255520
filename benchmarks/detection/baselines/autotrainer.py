"""AUTOTRAINER's gradient symptoms: the ratio of the first layer's gradient to the last one's."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals

EXPLODE, VANISH, VANISH_FIRST, DEAD = 70.0, 1e-3, 1e-4, 0.7


def alarms(signals: Signals, threshold: float) -> Rows:
    """Over weight tensors in the order of the net, with r = ‖g_first‖ / ‖g_last‖, at every step.

    Explodes: r > 70. Vanishes: r < 1e-3 and ‖g_first‖ < 1e-4. Dying ReLU: ≥ .7 of all gradient
    elements are 0. Non-finite loss or gradient. The original checks every third epoch, and acts
    only where accuracy is bad; the symptoms of accuracy curves are left out, as no accuracy is
    recorded. Re-tuned, the other limits move with the ratio of 70.

    Source: AUTOTRAINER, ICSE 2021; GitHub shiningrain/AUTOTRAINER,
    ``AutoTrainer/utils/monitor.py`` (``gradient_issue``).
    """
    strictness = threshold / EXPLODE
    norms, zeros = signals.stat("grad_norm"), signals.stat("grad_zero")
    first, last = norms[:, 0], norms[:, -1]
    with np.errstate(all="ignore"):
        ratio = first / last
        dead = zeros @ signals.numel / signals.numel.sum() >= 1 - (1 - DEAD) / strictness
    vanishes = (ratio < VANISH / strictness) & (first < VANISH_FIRST / strictness)
    return np.flatnonzero((ratio > threshold) | vanishes | dead | signals.broken)


BASELINES = (Baseline("AutoTrainer 70x", "ratio > {}", EXPLODE, alarms),)
