"""trainpulse 0.4.0: the package itself, called as its README says."""

from __future__ import annotations

import numpy as np
from trainpulse import Monitor, MonitorConfig

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals
from gradwatch_service.domain import MISSING64, is_missing

NAMES = {"loss": "loss", "grad_norm": "grad_norm", "lr": "learning_rate"}


def alarms(signals: Signals, threshold: float) -> Rows:
    """Any alert of severity warning or critical; ``threshold`` 1, re-tuned all limits move by it.

    Loss above 5 times the mean of the last 50, norm above 100 or below 1e-7, learning rate changed
    10-fold in a step, no lower loss for 100 steps, any NaN or infinity. Step times are not logged.

    Source: trainpulse 0.4.0 (PyPI), ``Monitor`` and ``MonitorConfig``.
    """
    monitor, found = _monitor(threshold), []
    none = np.full(len(signals.stream), MISSING64)
    columns = {theirs: signals.stream.scalars.get(name, none) for name, theirs in NAMES.items()}
    known = {name: (~is_missing(values)).tolist() for name, values in columns.items()}
    values = {name: column.tolist() for name, column in columns.items()}
    for row in range(len(signals.stream)):
        alerts = [
            alert
            for name, column in values.items()
            if known[name][row]
            for alert in monitor.log(name, row, column[row])
        ]
        if any(alert.severity.value != "info" for alert in alerts):
            found.append(row)
    return np.array(found, np.int64)


def _monitor(factor: float) -> Monitor:
    usual = MonitorConfig()
    return Monitor(
        MonitorConfig(
            loss_spike_threshold=usual.loss_spike_threshold * factor,
            grad_norm_threshold=usual.grad_norm_threshold * factor,
            grad_vanish_threshold=usual.grad_vanish_threshold / factor,
            lr_change_threshold=usual.lr_change_threshold * factor,
            plateau_patience=int(usual.plateau_patience * factor),
        )
    )


BASELINES = (Baseline("trainpulse 0.4.0", "limits x {}", 1.0, alarms),)
