"""A net of PyTorch of which one layer explodes, in whatever way it is trained; and data for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tests.client.integrations.explosion import factor

LAYER = "2.weight"


class _Multiplied(torch.autograd.Function):
    """The weight itself; its gradient is multiplied."""

    @staticmethod
    def forward(context: Any, weight: Any, by: float) -> Any:
        context.by = by
        return weight.view_as(weight)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return gradients[0] * context.by, None


class Exploding(nn.Linear):
    """A layer with the seeded fault; ``parts``: so many batches are an update."""

    def __init__(self, *sizes: int, parts: int = 1) -> None:
        super().__init__(*sizes)
        self.parts, self.batches = parts, 0

    def forward(self, inputs: Any) -> Any:
        weight = _Multiplied.apply(self.weight, factor(self.batches // self.parts))
        self.batches += 1
        return nn.functional.linear(inputs, weight, self.bias)


def job(model: Any, batches: int, seed: int = 1) -> dict[str, Any]:
    """The names that the examples of the docs for PyTorch take for granted."""
    return {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), lr=1e-4),
        "loss_of": nn.functional.mse_loss,
        "loader": loader(batches, seed),
        "device": "cpu",
    }


def net(middle: Any = None) -> Any:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), middle or nn.Linear(16, 16), nn.Linear(16, 1))


def loader(batches: int, seed: int = 1) -> list[tuple[Any, Any]]:
    random = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(16, 8, generator=random) for _ in range(batches)]
    return [(one, one.sum(1, keepdim=True)) for one in inputs]
