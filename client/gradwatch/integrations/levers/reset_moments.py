"""reset_moments {}: let the optimizer forget its momentum and second moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradwatch.integrations.bench import Bench, Undo, nothing

# The step count goes with them, or the correction of their bias would be missing.
MOMENTS = (
    "exp_avg",
    "exp_avg_sq",
    "max_exp_avg_sq",
    "exp_inf",
    "momentum_buffer",
    "square_avg",
    "grad_avg",
    "acc_delta",
    "step",
)


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Set them to zero in place; only a checkpoint brings them back."""
    del params, key
    states = [state for state in bench.optimizer.state.values() if isinstance(state, dict)]
    kept = [
        (state, name)
        for state in states
        for name in MOMENTS
        if isinstance(state.get(name), torch.Tensor | int)
    ]
    for state, name in kept:
        if isinstance(state[name], torch.Tensor):
            state[name].zero_()
        else:
            state[name] = 0
    return nothing if kept else None
