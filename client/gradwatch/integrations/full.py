"""What else is measured of gradients at the steps that are measured in full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gradwatch.integrations.foreach import Parts
from gradwatch.values import Float32Array


def add(parts: Parts, gradients: Mapping[int, torch.Tensor], norms: Sequence[torch.Tensor]) -> None:
    """Add maximum, mean, and fractions; ``gradients`` by number, and the norm of each."""
    rows = [i for i, gradient in gradients.items() if gradient.numel()]
    some = [gradients[i] for i in rows]
    known = dict(zip(gradients, norms, strict=True))
    parts.add("grad_max", rows, [_largest(gradient) for gradient in some])
    parts.add("grad_mean", rows, [gradient.mean(dtype=torch.float32) for gradient in some])
    parts.add("grad_zero", rows, [1.0 - one.count_nonzero() / one.numel() for one in some])
    parts.add("grad_nonfinite", rows, [_nonfinite(gradients[i], known[i]) for i in rows])


def complete(arrays: dict[str, Float32Array], sizes: Sequence[int]) -> None:
    """Add what follows from the norms of layers with so many elements."""
    if "grad_mean" not in arrays:
        return
    measured = ~np.isnan(arrays["grad_norm"])
    roots = np.sqrt(np.maximum(np.asarray(sizes, np.float32), 1))
    arrays["grad_rms"] = arrays["grad_norm"].copy()
    arrays["grad_rms"][measured] /= roots[measured]


def _largest(gradient: torch.Tensor) -> torch.Tensor:
    low, high = torch.aminmax(gradient)  # half the price of an infinity norm on the CPU
    return torch.maximum(high, -low)


def _nonfinite(gradient: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
    """How many elements are not finite; none if the norm is, and on the CPU it may be asked."""
    if norm.device.type == "cpu" and math.isfinite(float(norm)):
        return torch.zeros(())
    return gradient.numel() - gradient.isfinite().sum()
