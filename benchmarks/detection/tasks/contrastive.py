"""Two views of a point find each other among all points of the batch."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, normalize

from benchmarks.detection.nets import adamw, cosine, mlp
from benchmarks.detection.task import Batch, Job, Task

TEMPERATURE = 0.1


def contrastive() -> Job:
    net = mlp(20, 64, 64, 16)

    def batch(_step: int) -> Batch:
        points = torch.randn(32, 20)
        return points + 0.4 * torch.randn(32, 20), points + 0.4 * torch.randn(32, 20)

    def loss(batch: Batch) -> torch.Tensor:
        one, other = (normalize(net(view), dim=1) for view in batch)
        return cross_entropy(one @ other.T / TEMPERATURE, torch.arange(32))

    return Job(net, adamw(net), batch, loss, cosine(1e-3, 2000, warm_up=100))


TASKS = (Task("contrastive", contrastive, steps=2000, full=False),)
