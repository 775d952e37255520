"""Megatron-LM's rerun state machine: NaN, and ten times the largest of the first 100 values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.baselines.baseline import Array, Baseline, Rows, Signals

SAMPLES = 100


def alarms(signals: Signals, threshold: float) -> Rows:
    """Loss or gradient norm non-finite, or at 10 times the largest of its first 100 finite values.

    That is ``--check-for-nan-in-loss-and-grad`` (on by default), ``--check-for-spiky-loss`` and
    ``--check-for-large-grads`` (off by default), the last on the global norm instead of each
    bucket's.

    Source: GitHub NVIDIA/Megatron-LM, ``megatron/core/rerun_state_machine.py``
    (``is_unexpectedly_large``) and ``megatron/core/distributed/param_and_grad_buffer.py``.
    """
    found = [
        rows[~np.isfinite(values) | unexpectedly_large(values, threshold)]
        for rows, (values,) in map(signals.scalar, ("loss", "grad_norm"))
    ]
    return np.unique(np.concatenate(found))


def unexpectedly_large(values: Array, factor: float) -> NDArray[np.bool_]:
    """Whether |value| ≥ factor times the largest of the first 100 finite ones, from then on."""
    size, large = np.abs(values), np.zeros(len(values), np.bool_)
    finite = np.flatnonzero(np.isfinite(values))
    first, later = finite[:SAMPLES], finite[SAMPLES:]
    if len(later):
        large[later] = size[later] >= factor * size[first].max()
    return large


BASELINES = (Baseline("Megatron 10x", "maximum x {}", 10.0, alarms),)
