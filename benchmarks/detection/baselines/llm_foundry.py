"""llm-foundry's KillLossSpike: five losses in a row at twice the mean of the last 100."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals, where

WINDOW, PATIENCE, LOSS_CAP, MULTIPLIER = 100, 4, 10.0, 2.0


def alarms(signals: Signals, threshold: float) -> Rows:
    """More than 4 losses in a row at twice the mean of the 100 before; or half of 100 above 10.

    The second test begins at step 200. A NaN in the window makes the mean NaN and switches the
    first test off for 100 steps. Re-tuned, the cap of 10 moves in proportion to the multiplier.

    Source: GitHub mosaicml/llm-foundry, ``llmfoundry/callbacks/kill_loss_spike_callback.py``.
    """
    rows, (loss,) = signals.scalar("loss")
    if len(loss) <= WINDOW:
        return rows[:0]
    past, now = sliding_window_view(loss, WINDOW)[:-1], loss[WINDOW:]
    with np.errstate(all="ignore"):
        outlier = now >= past.mean(axis=1) * threshold
        many = (past > LOSS_CAP * threshold / MULTIPLIER).sum(axis=1) >= WINDOW / 2
    high = many & (np.arange(len(now)) >= WINDOW)
    place = np.arange(len(now))
    calm = np.maximum.accumulate(np.where(outlier, -1, place))
    return where(rows[WINDOW:], (place - calm > PATIENCE) | high)


BASELINES = (Baseline("llm-foundry KillLossSpike", "mean x {}", MULTIPLIER, alarms),)
