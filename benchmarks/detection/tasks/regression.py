"""Small nets that learn to imitate a fixed random net, on data of several tempers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.functional import mse_loss

from benchmarks.detection.nets import (
    Noise,
    adam,
    constant,
    cosine,
    gaussian,
    mlp,
    momentum,
    student,
    triangle,
)
from benchmarks.detection.task import Batch, Job, Rate, Task

SCALED_FROM = 700


def teacher(
    rows: int, noise: Noise = gaussian, scaled_from: int | None = None
) -> Callable[[int], Batch]:
    """Inputs float32[rows, 16], doubled from a step on, and what a fixed net makes of them."""
    net = mlp(16, 32, 4, activation=nn.Tanh).requires_grad_(False)
    nn.init.normal_(net[0].weight, std=0.4)
    nn.init.normal_(net[2].weight, std=0.3)

    def batch(step: int) -> Batch:
        scale = 1.0 if scaled_from is None or step < scaled_from else 2.0
        inputs = scale * torch.randn(rows, 16)
        return inputs, net(inputs) + 0.1 * noise(rows, 4)

    return batch


def imitate(
    net: nn.Module, optimizer: torch.optim.Optimizer, rate: Rate, batch: Callable[[int], Batch]
) -> Job:
    return Job(net, optimizer, batch, lambda b: mse_loss(net(b[0]), b[1]), rate)


def mlp_adam() -> Job:
    net = mlp(16, 64, 64, 4)
    return imitate(net, adam(net), constant(1e-3), teacher(32))


def tanh_mlp() -> Job:
    net = mlp(16, 48, 48, 48, 4, activation=nn.Tanh)
    return imitate(net, momentum(net), cosine(0.05, 2500, floor=0.0), teacher(16))


def heavy_tailed() -> Job:
    """Targets with Student-t noise of 2 degrees of freedom: a few samples rule whole batches."""
    net = mlp(16, 64, 64, 4)
    return imitate(net, adam(net), constant(1e-3), teacher(16, student))


def input_scale() -> Job:
    net = mlp(16, 64, 64, 4, activation=nn.GELU)
    return imitate(net, adam(net), constant(1e-3), teacher(32, scaled_from=SCALED_FROM))


def cyclic_rate() -> Job:
    net = mlp(16, 64, 64, 4, activation=nn.SiLU)
    return imitate(net, momentum(net), triangle(0.01, 0.04, 400), teacher(16))


def seldom_logged() -> Job:
    net = mlp(16, 64, 64, 64, 4)
    return imitate(net, adam(net), cosine(2e-3, 6000, warm_up=200), teacher(16))


TASKS = (
    Task("mlp-adam", mlp_adam, steps=2500),
    Task("tanh-mlp", tanh_mlp, steps=2500, full=False),
    Task("heavy-tailed", heavy_tailed, steps=2500),
    Task("input-scale", input_scale, steps=1400),
    Task("cyclic-rate", cyclic_rate, steps=2000),
    Task("seldom-logged", seldom_logged, steps=6000, log_every=10),
)
