"""A mixture of experts: each sample trains one expert, so some get no gradient for a while."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import mse_loss

from benchmarks.detection.nets import adam, constant, mlp
from benchmarks.detection.task import Batch, Job, Task

EXPERTS = 6


class Mixture(nn.Module):
    """The best expert of each sample, weighted by the router."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(16, EXPERTS)
        self.experts = nn.ModuleList(mlp(16, 32, 4) for _ in range(EXPERTS))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        weights = self.router(inputs).softmax(1)
        chosen = weights.argmax(1, keepdim=True)
        every = torch.stack([expert(inputs) for expert in self.experts], 1)
        best = every.gather(1, chosen[:, :, None].expand(-1, -1, 4))[:, 0]
        return best * weights.gather(1, chosen)


def mixture() -> Job:
    net = Mixture()
    centres, maps = torch.randn(EXPERTS, 16), torch.randn(EXPERTS, 16, 4) / 4

    def batch(_step: int) -> Batch:
        which = torch.randint(EXPERTS, (16,))
        inputs = centres[which] + 0.5 * torch.randn(16, 16)
        return inputs, (inputs[:, None] @ maps[which])[:, 0]

    return Job(net, adam(net), batch, lambda b: mse_loss(net(b[0]), b[1]), constant(1e-3))


TASKS = (Task("mixture", mixture, steps=2000, full=False, tuning=0, test=3),)
