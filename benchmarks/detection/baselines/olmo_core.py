"""OLMo-core's step-skipping optimizer: six standard deviations of the last 128 steps."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.detection.baselines.baseline import Array, Baseline, Rows, Signals

WINDOW = 128


def alarms(signals: Signals, threshold: float) -> Rows:
    """Where it skips: |x - mean| / std above 6 for the loss or the gradient norm.

    Mean and unbiased deviation are those of the up to 128 steps before, skipped ones included,
    from the 64th step on. "Not ≤ 6" also skips every step while a NaN is in the window, or while
    the window has no variance.

    Source: GitHub allenai/OLMo-core, ``src/olmo_core/optim/skip_step_optimizer.py``.
    """
    rows, (loss, norm) = signals.scalar("loss", "grad_norm")
    fires = ~((z_scores(loss) <= threshold) & (z_scores(norm) <= threshold))
    fires[: WINDOW // 2 - 1] = False
    return rows[fires]


def z_scores(values: Array) -> Array:
    """Distance from the mean of the up to 128 values before in their deviations; NaN at first."""
    n = len(values)
    z = np.full(n, np.nan)
    with np.errstate(all="ignore"):
        for i in range(2, min(n, WINDOW)):
            z[i] = abs(values[i] - values[:i].mean()) / values[:i].std(ddof=1)
        if n > WINDOW:
            past = sliding_window_view(values, WINDOW)[:-1]
            mean, deviation = past.mean(axis=1), past.std(axis=1, ddof=1)
            z[WINDOW:] = np.abs(values[WINDOW:] - mean) / deviation
    return z


BASELINES = (Baseline("OLMo-core 6 sigma", "{} sigma", 6.0, alarms),)
