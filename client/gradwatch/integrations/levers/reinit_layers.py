"""reinit_layers {divide_by} or {layers, method, spectral_radius}: better initial weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gradwatch.autopilot.advice import number
from gradwatch.integrations.bench import Bench, Undo, nothing
from gradwatch.integrations.levers import reset_moments


def apply(bench: Bench, params: Mapping[str, Any], key: str) -> Undo | None:
    """Divide weights by their gain, or make matrices orthogonal with a spectral radius.

    All named layers or none; only a checkpoint brings the old weights back. The optimizer forgets
    its moments: Adam's second moment would remember gradients a thousand times as large.
    """
    done = _rewrite(bench, params)
    if done is not None:
        reset_moments.apply(bench, {}, key)
    return done


def _rewrite(bench: Bench, params: Mapping[str, Any]) -> Undo | None:
    divide_by = params.get("divide_by")
    if isinstance(divide_by, Mapping):
        return _divide(bench, divide_by)
    layers = params.get("layers")
    if params.get("method") != "orthogonal" or not isinstance(layers, list | tuple):
        return None
    return _orthogonal(bench, layers, number(params.get("spectral_radius")) or 1.0)


def _divide(bench: Bench, divide_by: Mapping[str, Any]) -> Undo | None:
    gains = {name: gain for name, given in divide_by.items() if (gain := number(given))}
    if not gains or len(gains) < len(divide_by) or not gains.keys() <= bench.parameters.keys():
        return None
    for name, gain in gains.items():
        bench.parameters[name].div_(gain)
    return nothing


def _orthogonal(bench: Bench, layers: list[Any] | tuple[Any, ...], radius: float) -> Undo | None:
    found = [bench.parameters.get(str(name)) for name in layers]
    matrices = [one for one in found if one is not None and one.ndim == 2]
    if not matrices or len(matrices) < len(found):
        return None
    same = torch.Generator().manual_seed(bench.step)  # every rank draws the same numbers
    for matrix in matrices:
        for block in _square_blocks(matrix):
            drawn = torch.empty(block.shape, dtype=torch.float32)
            block.copy_(torch.nn.init.orthogonal_(drawn, gain=radius, generator=same))
    return nothing


def _square_blocks(matrix: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The gates of a GRU or LSTM lie on top of each other: one square block each."""
    rows, columns = matrix.shape
    stacked = rows > columns and rows % columns == 0
    return torch.split(matrix, columns) if stacked else (matrix,)
