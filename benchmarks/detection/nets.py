"""Blocks that several tasks are built from: nets, optimizers, schedules, noise, texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import nn

from benchmarks.detection.task import Rate

Noise: TypeAlias = Callable[[int, int], torch.Tensor]
GAIN = {nn.ReLU: math.sqrt(2.0), nn.GELU: 1.52, nn.Tanh: 1.0, nn.Sigmoid: 1.0}


def mlp(*widths: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these widths with the activation between them."""
    parts: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        parts += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*parts[:-1])


def critical(net: nn.Sequential, factor: float = 1.0) -> nn.Sequential:
    """Draw the weights at ``factor`` times the gain that keeps signals from growing with depth."""
    gain = factor * next((GAIN[type(part)] for part in net if type(part) in GAIN), 1.0)
    for part in net:
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=gain / math.sqrt(part.in_features))
            nn.init.zeros_(part.bias)
    return net


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*parts)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs + self.branch(inputs)


def adam(net: nn.Module, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """Adam; the learning rate comes from the job's schedule."""
    return torch.optim.Adam(net.parameters(), betas=betas, fused=True)


def adamw(net: nn.Module, betas: tuple[float, float] = (0.9, 0.999)) -> torch.optim.Optimizer:
    """AdamW with its usual decay."""
    return torch.optim.AdamW(net.parameters(), betas=betas, fused=True)


def momentum(net: nn.Module, share: float = 0.9) -> torch.optim.Optimizer:
    """Gradient descent with momentum."""
    return torch.optim.SGD(net.parameters(), lr=0.0, momentum=share)


def constant(rate: float) -> Rate:
    """The same learning rate at every step."""
    return lambda _step: rate


def cosine(rate: float, steps: int, warm_up: int = 0, floor: float = 0.05) -> Rate:
    """Linear warm-up, then a cosine down to a share of the peak, and from the peak again."""

    def at(step: int) -> float:
        if step < warm_up:
            return rate * (step + 1) / warm_up
        turn = (step - warm_up) % (steps - warm_up) / (steps - warm_up)
        return rate * (floor + (1 - floor) * (1 + math.cos(math.pi * turn)) / 2)

    return at


def stairs(rate: float, every: int, factor: float) -> Rate:
    """Multiply the learning rate by a factor every so many steps."""
    return lambda step: rate * factor ** (step // every)


def triangle(low: float, high: float, period: int) -> Rate:
    """Up and down again, linearly, over and over."""
    return lambda step: high - (high - low) * abs(2 * (step % period) / period - 1)


def gaussian(rows: int, width: int) -> torch.Tensor:
    """Ordinary noise."""
    return torch.randn(rows, width)


def student(rows: int, width: int) -> torch.Tensor:
    """Noise of Student's t with 2 degrees of freedom: its variance is infinite."""
    square = -2 * torch.log(torch.rand(rows, width))  # chi-squared with 2 degrees
    return torch.randn(rows, width) / torch.sqrt(square / 2)


def markov_text(length: int, letters: int, surprises: float) -> torch.Tensor:
    """A text in which each letter follows from the two before it, but for some: int64[length]."""
    likely = torch.randint(letters, (letters, letters)).tolist()
    surprise = (torch.rand(length) < surprises).tolist()
    random = torch.randint(letters, (length,)).tolist()
    text = [0, 1]
    for place in range(2, length):
        expected = likely[text[-2]][text[-1]]
        text.append(random[place] if surprise[place] else expected)
    return torch.tensor(text)


def windows(text: torch.Tensor, count: int, length: int) -> torch.Tensor:
    """Random stretches of a text and the letter after each: int64[count, length + 1]."""
    starts = torch.randint(len(text) - length, (count, 1))
    return text[starts + torch.arange(length + 1)]
