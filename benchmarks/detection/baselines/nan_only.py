"""NaN only: what every framework checks."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals


def alarms(signals: Signals, _threshold: float) -> Rows:
    """The loss or the global gradient norm is NaN or infinite.

    Source: PyTorch Lightning ``EarlyStopping(check_finite=True)``, Composer
    ``callbacks/nan_monitor.py``, PyTorch ``clip_grad_norm_(error_if_nonfinite=True)``.
    """
    found = [
        rows[~np.isfinite(values)] for rows, (values,) in map(signals.scalar, ("loss", "grad_norm"))
    ]
    return np.unique(np.concatenate(found))


BASELINES = (Baseline("NaN only", "", None, alarms),)
