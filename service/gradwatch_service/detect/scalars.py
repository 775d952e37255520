"""From what a frame carries to the three scalar tracks: global norm, loss and update ratio."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.fixedpoint import Fixed, log2_fixed
from gradwatch_service.detect.update_ratio import median_update_ratio
from gradwatch_service.domain import (
    MISSING64,
    BoolArray,
    Float32Array,
    FloatArray,
    Frame,
    LayerTable,
    is_missing,
)

NORM: Final = 0
LOSS: Final = 1
RATIO: Final = 2
TRACKS: Final = 3
_LINEAR_BITS: Final = 20
_LINEAR_LIMIT: Final = 2.0**29  # differences of two values still fit an int32


def global_norm(part: Frame, *, given: bool) -> tuple[FloatArray, bool]:
    """The global norm, float64[n]: as reported, else over the layers that were measured.

    Once the job has reported one (``given``, also returned), only that counts: the watched layers
    need not be all there are.
    """
    own = part.scalars.get("grad_norm")
    if own is None:
        own = np.full(len(part), MISSING64)
    if given:
        return own, True
    since = np.logical_or.accumulate(~is_missing(own))
    return np.where(since, own, joint_norm(part.layers.get("grad_norm"))), bool(since[-1])


def joint_norm(grad: Float32Array | None) -> FloatArray | np.float64:
    """Root of the sum of squares over the measured layers, float64[n]; missing if none was."""
    if grad is None or not grad.shape[1]:
        return MISSING64
    measured = ~is_missing(grad)
    squares = np.where(measured, grad, 0).astype(np.float64) ** 2
    # One by one, as the pairwise sum of numpy may depend on the shape.
    norm = np.sqrt(np.add.accumulate(squares, axis=1)[:, -1])
    return np.where(measured.any(axis=1), norm, MISSING64)


def values(part: Frame, norm: FloatArray, layers: LayerTable) -> FloatArray:
    """Columns NORM, LOSS, RATIO as float64[n, 3]; values not measured are the missing NaN."""
    raw = np.full((len(part), TRACKS), MISSING64)
    raw[:, NORM] = norm
    if "loss" in part.scalars:
        raw[:, LOSS] = part.scalars["loss"]
    raw[:, RATIO] = median_update_ratio(part.layers, layers)
    return raw


def fixed_point(raw: FloatArray, loss_shift: int | None) -> Fixed:
    """The tracks in fixed point, int32[n, 3], EMPTY where there is no finite number."""
    fixed = log2_fixed(raw)
    if loss_shift is not None:
        fixed[:, LOSS] = _linear(raw[:, LOSS], loss_shift)
    fixed[~np.isfinite(raw)] = EMPTY
    return fixed


def _linear(loss: FloatArray, shift: int) -> Fixed:
    scaled = np.ldexp(np.nan_to_num(loss), _LINEAR_BITS - shift)
    return np.asarray(np.rint(np.clip(scaled, -_LINEAR_LIMIT, _LINEAR_LIMIT)), dtype=np.int32)


def negative(loss: FloatArray) -> BoolArray:
    """Where a loss is a finite number below zero."""
    return (loss < 0) & (loss > -math.inf)
