"""What is read from a PyTorch optimizer."""

from __future__ import annotations

from typing import Any

import torch


def learning_rate(optimizer: torch.optim.Optimizer) -> Any:
    """The largest learning rate of all groups; the first one where they are tensors."""
    rates = [group.get("lr") for group in optimizer.param_groups]
    numbers = [rate for rate in rates if isinstance(rate, int | float)]
    return max(numbers) if numbers else next(iter(rates), None)


def facts(optimizer: torch.optim.Optimizer) -> dict[str, object]:
    """What a diagnosis wants to know of the optimizer, for the config of the run."""
    found: dict[str, object] = {"framework": "pytorch", "optimizer": type(optimizer).__name__}
    betas = optimizer.defaults.get("betas")
    return found if betas is None else {**found, "betas": list(betas)}
