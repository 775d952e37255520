"""SageMaker Debugger's built-in rules for gradients, weights and losses, at every step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.baselines.baseline import Baseline, Rows, Signals

VANISHING, LARGE, SMALL, EPSILON = 1e-7, 10.0, 1e-8, 1e-9
STEPS, DIFFERENCE, INCREASE = 10, 0.001, 0.05
VARIANCE_RATIO, FIRST_STEPS = 10.0, 10


def alarms(signals: Signals, threshold: float) -> Rows:
    """Any of five rules at its defaults; ``threshold`` 1, re-tuned all limits move by that factor.

    ExplodingTensor: a loss or gradient is NaN or infinite. VanishingGradient: mean |g| of a tensor
    below 1e-7 (here its rms). WeightUpdateRatio: ‖Δw‖ / (‖w‖ + 1e-9) above 10 or below 1e-8.
    LossNotDecreasing: every 10 steps, less than 0.1 % below the loss 10 steps before, a rise of up
    to 5 % allowed. PoorWeightInitialization: variances of weight tensors in a ratio above 10 within
    the first 10 steps. Debugger saves tensors every 500 steps by default; here it has them all.

    Source: SageMaker developer guide, "List of Debugger built-in rules";
    GitHub awslabs/sagemaker-debugger-rulesconfig. Its implementation is not public.
    """
    fires = signals.broken | _vanishing(signals, VANISHING / threshold)
    fires |= _update_ratio(signals, LARGE * threshold, SMALL / threshold)
    fires |= _not_decreasing(signals, DIFFERENCE / threshold, INCREASE * threshold)
    return np.flatnonzero(fires | _poor_weights(signals, VARIANCE_RATIO * threshold))


def _vanishing(signals: Signals, limit: float) -> NDArray[np.bool_]:
    rms = signals.stat("grad_norm") / np.sqrt(signals.numel)
    return np.asarray((rms < limit).any(axis=1))


def _update_ratio(signals: Signals, large: float, small: float) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        ratio = signals.stat("update_norm") / (signals.stat("weight_norm") + EPSILON)
    return np.asarray(((ratio > large) | (ratio < small)).any(axis=1))


def _not_decreasing(signals: Signals, difference: float, increase: float) -> NDArray[np.bool_]:
    fires = np.zeros(len(signals.stream), np.bool_)
    rows, (loss,) = signals.scalar("loss")
    with np.errstate(all="ignore"):
        fall = 1 - loss[STEPS::STEPS] / loss[:-STEPS:STEPS]
    fires[rows[STEPS::STEPS]] = ((fall < difference) & (fall >= 0)) | (fall < -increase)
    return fires


def _poor_weights(signals: Signals, limit: float) -> NDArray[np.bool_]:
    variance = signals.stat("weight_norm") ** 2 / signals.numel
    with np.errstate(all="ignore"):
        ratio = variance.max(axis=1) / variance.min(axis=1)
    return np.asarray((ratio > limit) & (np.arange(len(ratio)) < FIRST_STEPS))


BASELINES = (Baseline("SageMaker Debugger's rules", "limits x {}", 1.0, alarms),)
