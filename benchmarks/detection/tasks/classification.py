"""Classifiers of Gaussian clusters: deep, residual, tiny batches, wrong labels, several ranks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from benchmarks.detection.loss_scale import LossScale
from benchmarks.detection.nets import (
    Residual,
    adam,
    adamw,
    constant,
    cosine,
    critical,
    mlp,
    momentum,
    stairs,
    triangle,
)
from benchmarks.detection.task import Batch, Job, Rate, Task

CLASSES = 10


def clusters(rows: int, *, wrong: float = 0.0, inputs: int = 20) -> Callable[[int], Batch]:
    """Points float32[rows, inputs] around 3 centres a class; a share of the labels is wrong."""
    centres = 1.2 * torch.randn(3 * CLASSES, inputs)

    def batch(_step: int) -> Batch:
        which = torch.randint(3 * CLASSES, (rows,))
        points = centres[which] + torch.randn(rows, inputs)
        random = torch.randint(CLASSES, (rows,))
        return points, torch.where(torch.rand(rows) < wrong, random, which % CLASSES)

    return batch


def classify(
    net: nn.Module, optimizer: torch.optim.Optimizer, rate: Rate, batch: Callable[[int], Batch]
) -> Job:
    return Job(net, optimizer, batch, lambda b: cross_entropy(net(b[0]), b[1]), rate)


def deep_relu() -> Job:
    net = critical(mlp(20, *[48] * 8, CLASSES))
    return classify(net, momentum(net), stairs(0.01, 900, 0.1), clusters(32))


def deep(layers: int, activation: Callable[[], nn.Module], rate: float) -> Job:
    """A chain without normalisation at critical gain: it trains, slowly."""
    net = critical(mlp(20, *[32] * (layers - 1), CLASSES, activation=activation))
    return classify(net, adam(net), cosine(rate, 4000, warm_up=50), clusters(16))


def warmed_up() -> Job:
    """A little over critical gain, at a rate that only a warm-up makes possible."""
    net = critical(mlp(20, *[48] * 7, CLASSES), 1.4)
    return classify(net, momentum(net), cosine(0.03, 3000, warm_up=300), clusters(32))


def residual_norm() -> Job:
    blocks = [Residual(nn.LayerNorm(32), nn.Linear(32, 32), nn.GELU()) for _ in range(12)]
    net = nn.Sequential(nn.Linear(20, 32), *blocks, nn.LayerNorm(32), nn.Linear(32, CLASSES))
    return classify(net, adamw(net), cosine(2e-3, 500), clusters(16))


def plain_norm() -> Job:
    """Twelve layers that owe their stability to normalisation alone."""
    blocks = [part for _ in range(12) for part in (nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU())]
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), *blocks, nn.Linear(32, CLASSES))
    for block in net:
        if isinstance(block, nn.Linear) and block.in_features == block.out_features:
            nn.init.normal_(block.weight, std=0.5)
    return classify(net, adam(net), constant(1e-3), clusters(16))


def tiny_batch() -> Job:
    parts = [(nn.Linear(n, 64), nn.ReLU(), nn.Dropout(0.5)) for n in (20, 64, 64)]
    net = nn.Sequential(*[part for three in parts for part in three], nn.Linear(64, CLASSES))
    return classify(net, adam(net), constant(5e-4), clusters(4))


def noisy_labels() -> Job:
    net = mlp(20, 64, 64, CLASSES)
    return classify(net, momentum(net), constant(0.02), clusters(32, wrong=0.3))


def rare_class() -> Job:
    """One sample in thirty is positive: most batches of sixteen have none, or one."""
    net = mlp(20, 48, 48, 1)
    shift = torch.randn(20) / 2

    def batch(_step: int) -> Batch:
        positive = (torch.rand(16, 1) < 1 / 30).float()
        return torch.randn(16, 20) + positive * shift, positive

    loss = binary_cross_entropy_with_logits
    return Job(net, adam(net), batch, lambda b: loss(net(b[0]), b[1]), constant(5e-4))


def memorising() -> Job:
    """The same 48 points over and over: the loss falls towards nothing, and the gradients too."""
    net = mlp(20, 64, 64, CLASSES, activation=nn.Tanh)
    points = clusters(48)(0)
    return classify(net, adam(net), constant(1e-3), lambda _: points)


def ever_harder() -> Job:
    """The noise in the data grows, and with it the loss, while the net does its best."""
    net = mlp(20, 64, 64, CLASSES, activation=nn.SiLU)
    clean = clusters(32)

    def batch(step: int) -> Batch:
        points, labels = clean(step)
        return points + step / 1000 * torch.randn_like(points), labels

    return classify(net, adamw(net), constant(1e-3), batch)


def one_cycle() -> Job:
    net = mlp(20, 64, 64, 64, CLASSES)
    return classify(net, momentum(net), triangle(0.005, 0.1, 1800), clusters(32))


def fine_tuned() -> Job:
    """Two of five layers are learned anew at a low rate, on top of frozen ones."""
    net = mlp(20, 64, 64, 64, 64, CLASSES)
    batch = clusters(32)
    early = classify(net, adam(net), constant(1e-3), batch)
    for step in range(300):
        early.optimizer.param_groups[0]["lr"] = 1e-3
        early.optimizer.zero_grad()
        early.loss(batch(step)).backward()
        early.optimizer.step()
    net[:6].requires_grad_(False)
    net[-1].reset_parameters()
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return classify(net, torch.optim.AdamW(learned, fused=True), cosine(1e-4, 1500, 100), batch)


def mixed_precision() -> Job:
    net = mlp(20, 64, 64, 64, CLASSES)
    job = classify(net, adamw(net), constant(1e-3), clusters(32))
    job.scaler = LossScale(scale=2.0**24, growth=400)
    return job


def sigmoid_chain() -> Job:
    net = mlp(20, 48, 48, CLASSES, activation=nn.Sigmoid)
    return classify(net, adam(net), constant(3e-3), clusters(32))


def four_ranks() -> Job:
    net = mlp(20, 48, 48, 48, CLASSES)
    return classify(net, momentum(net), cosine(0.05, 1500, warm_up=100), clusters(8))


def resumed() -> Job:
    net = mlp(20, 64, 64, 64, CLASSES, activation=nn.GELU)
    return classify(net, adam(net), constant(1e-3), clusters(16))


TASKS = (
    Task("deep-relu", deep_relu, steps=2700),
    Task("deep-relu-10", partial(deep, 10, nn.ReLU, 1e-3), tuning=0, test=0),
    Task("deep-gelu-20", partial(deep, 20, nn.GELU, 5e-4), steps=2000),
    Task("deep-tanh-20", partial(deep, 20, nn.Tanh, 5e-4), steps=2000),
    Task("deep-relu-50", partial(deep, 50, nn.ReLU, 2e-4), tuning=0, test=1),
    Task("warmed-up", warmed_up, steps=2000),
    Task("residual-norm", residual_norm, steps=1750),
    Task("plain-norm", plain_norm, tuning=0, test=0),
    Task("tiny-batch", tiny_batch, steps=3000),
    Task("noisy-labels", noisy_labels, steps=2500, full=False),
    Task("rare-class", rare_class, steps=2000),
    Task("memorising", memorising, steps=1500),
    Task("ever-harder", ever_harder, steps=2000),
    Task("one-cycle", one_cycle, steps=1800, full=False),
    Task("fine-tuned", fine_tuned, steps=1500),
    Task("mixed-precision", mixed_precision, steps=2000),
    Task("sigmoid", sigmoid_chain, steps=1500),
    Task("four-ranks", four_ranks, steps=1500, ranks=4),
    Task("resumed", resumed, steps=2000, crash=1130),
    Task("resumed-afresh", resumed, steps=2000, crash=930, keeps_optimizer=False),
)
