"""A small convolutional net with batch normalisation; its batch doubles on the way."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.detection.nets import cosine, momentum
from benchmarks.detection.task import Batch, Job, Task

SIZE, CLASSES, DOUBLED_FROM = 10, 6, 700


def gratings(step: int) -> Batch:
    """Noisy stripes float32[n, 1, 10, 10]; the class is their direction."""
    rows = 16 if step < DOUBLED_FROM else 32
    labels = torch.randint(CLASSES, (rows,))
    angle = (labels * torch.pi / CLASSES)[:, None, None]
    across, down = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    phase = 2 * torch.pi * torch.rand(rows, 1, 1)
    wave = torch.sin(1.5 * (across * torch.cos(angle) + down * torch.sin(angle)) + phase)
    return (wave + 2.0 * torch.randn(rows, SIZE, SIZE))[:, None], labels


def convnet() -> Job:
    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU()]

    net = nn.Sequential(
        *block(1, 8, 1),
        *block(8, 16, 2),
        *block(16, 16, 2),
        nn.Flatten(),
        nn.Linear(16 * 9, CLASSES),
    )
    return Job(
        net, momentum(net), gratings, lambda b: cross_entropy(net(b[0]), b[1]), cosine(0.05, 1800)
    )


TASKS = (Task("convnet", convnet, steps=1500),)
