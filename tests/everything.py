"""Adds to the reports of a training whatever a client can measure, for the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.domain import Frame

Array = NDArray[np.float64]
TIME_STEPS = 20
EVENTS = (
    {"kind": "checkpoint", "step": 20, "path": "/20"},
    {"kind": "phase", "step": 33, "name": "warm"},
    {"kind": "checkpoint", "step": 50, "path": "/50"},
    {"kind": "lr", "step": 55, "value": 0.1},
    {"kind": "advice", "step": 90, "id": "1", "action": "clip_grad_norm", "status": "applied"},
    {"kind": "advice", "step": 99, "id": "1", "action": "clip_grad_norm", "status": "failed"},
)


def measured(frame: Frame, seed: int) -> Frame:
    """The same reports with every scalar and statistic, a time profile and events."""
    rng, count = np.random.default_rng(seed), len(frame)
    norm = frame.scalars["grad_norm"]
    broken = ~np.isfinite(norm)
    size = np.where(broken, 1.0, norm)
    profile = np.exp2(0.3 * np.arange(TIME_STEPS)[::-1] + rng.normal(0.0, 0.3, (count, TIME_STEPS)))
    return replace(
        frame,
        scalars=_scalars(rng, size, broken) | frame.scalars,
        layers=_statistics(rng, frame, size, broken) | frame.layers,
        profiles={"time": (profile * size[:, None]).astype(np.float32)},
        events=EVENTS,
    )


def _scalars(rng: np.random.Generator, size: Array, broken: NDArray[Any]) -> dict[str, Array]:
    count = len(size)
    late = np.arange(count) >= count // 2
    return {
        "lr": np.where(late, 0.4, 0.1),
        "clip_norm": np.full(count, 0.4),
        "loss_scale": 2.0 ** np.maximum(14 - np.cumsum(broken), 0),
        "found_inf": broken.astype(np.float64),
        "batch_size": np.full(count, 32.0),
        "seq_len": rng.choice([128.0, 256.0], count),
        "step_seconds": np.where(late, 0.3, 0.2) * np.exp(rng.normal(0.0, 0.05, count)),
        "local_grad_norm": size * np.exp2(rng.normal(0.0, 0.3, count)),
        "attention_logit_max": 20.0 * size,
        "skipped": (size > 100.0).astype(np.float64),
    }


def _statistics(
    rng: np.random.Generator, frame: Frame, size: Array, broken: NDArray[Any]
) -> Mapping[str, NDArray[np.float32]]:
    grad = frame.layers["grad_norm"].astype(np.float64)
    count, width = grad.shape
    depth = np.exp2(-1.8 * np.arange(width))
    zeros = np.full((count, width), 0.1)
    zeros[count // 3 :, -1] = 0.95
    found = {
        "grad_max": grad / 8,
        "grad_mean": grad * rng.normal(0.0, 1e-3, (count, width)),
        "grad_rms": grad / 64,
        "grad_nonfinite": np.repeat(5.0 * broken[:, None], width, axis=1),
        "grad_zero": zeros,
        "weight_norm": np.full((count, width), 8.0),
        "update_norm": 0.01 * grad,
        "bias_grad_norm": 0.1 * grad * depth,
        "act_grad_norm": 0.2 * grad * depth,
        "moment_rms": np.clip(size, 0.5, 8.0)[:, None] * np.ones(width),
        "spectral_norm": np.sqrt(size)[:, None] * np.ones(width),
        "attention_logit_max": 20.0 * size[:, None] * np.ones(width),
        "weight_nonfinite": np.zeros((count, width)),
    }
    return {name: values.astype(np.float32) for name, values in found.items()}
