"""A fixed limit on the global gradient norm, at the two values people use."""

from __future__ import annotations

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals


def alarms(signals: Signals, threshold: float) -> Rows:
    """Norm above the limit; a NaN compares as false and passes.

    Source: alert examples of experiment trackers, such as ``wandb.alert`` on a norm over a limit;
    trainpulse's default is 100.
    """
    rows, (norm,) = signals.scalar("grad_norm")
    return rows[norm > threshold]


BASELINES = (
    Baseline("norm > 10", "norm > {}", 10.0, alarms),
    Baseline("norm > 100", "norm > {}", 100.0, alarms),
)
