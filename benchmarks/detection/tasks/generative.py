"""Generative models: adversarial, variational, denoising, and a likelihood below zero."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from benchmarks.detection.nets import adam, constant, mlp
from benchmarks.detection.task import Batch, Job, Task

MODES, NOISE, PIXELS = 6, 8, 24


def ring(rows: int) -> torch.Tensor:
    """Points around six modes on a circle: float32[rows, 2]."""
    angle = 2 * math.pi * torch.randint(MODES, (rows,)) / MODES
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(rows, 2)


def curves(rows: int) -> torch.Tensor:
    """Sine curves of random phase and frequency: float32[rows, 24]."""
    phase, speed = torch.rand(2, rows, 1)
    return torch.sin(torch.arange(PIXELS) * (0.1 + 0.3 * speed) + 6.3 * phase)


def adversarial() -> Job:
    """The generator is watched; its opponent takes a step of its own before every batch."""
    generator = mlp(NOISE, 32, 32, 2)
    critic = mlp(2, 32, 32, 1, activation=lambda: nn.LeakyReLU(0.2))
    opponent = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.5, 0.999), fused=True)

    def judge(points: torch.Tensor, real: float) -> torch.Tensor:
        verdict = critic(points)
        return binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, real))

    def batch(_step: int) -> Batch:
        opponent.zero_grad()
        fakes = generator(torch.randn(32, NOISE)).detach()
        (judge(ring(32), 1.0) + judge(fakes, 0.0)).backward()
        opponent.step()
        return (torch.randn(32, NOISE),)

    optimizer = adam(generator, (0.5, 0.999))
    return Job(generator, optimizer, batch, lambda b: judge(generator(b[0]), 1.0), constant(1e-3))


def variational(annealed_over: int = 1) -> Job:
    """The weight of the divergence grows from nothing, so that the loss may rise."""
    net = nn.ModuleDict({"encoder": mlp(PIXELS, 48, 8), "decoder": mlp(4, 48, PIXELS)})

    def batch(step: int) -> Batch:
        return curves(32), torch.full((1,), 0.2 * min(1.0, (step + 1) / annealed_over))

    def loss(batch: Batch) -> torch.Tensor:
        mean, log_variance = net["encoder"](batch[0]).chunk(2, 1)
        code = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        return (net["decoder"](code) - batch[0]).square().sum(1).mean() + batch[1][0] * divergence

    return Job(net, adam(net), batch, loss, constant(1e-3))


def autoencoder() -> Job:
    net = mlp(PIXELS, 48, 6, 48, PIXELS, activation=nn.Tanh)
    optimizer = torch.optim.RMSprop(net.parameters())
    return Job(
        net, optimizer, lambda _: (curves(16),), lambda b: mse_loss(net(b[0]), b[0]), constant(5e-4)
    )


def denoising() -> Job:
    """Predicts the noise in a point, at a noise level that is drawn for every sample."""
    net = mlp(3, 64, 64, 64, 2, activation=nn.SiLU)

    def batch(_step: int) -> Batch:
        level, noise = torch.rand(64, 1), torch.randn(64, 2)
        noisy = torch.sqrt(1 - level) * ring(64) + torch.sqrt(level) * noise
        return torch.cat([noisy, level], 1), noise

    return Job(net, adam(net), batch, lambda b: mse_loss(net(b[0]), b[1]), constant(1e-3))


def likelihood() -> Job:
    """A mean and a variance for each output of two tasks; the loss goes below zero and on."""
    net = nn.ModuleDict({"trunk": mlp(12, 48, 48), "heads": nn.Linear(48, 8)})
    truth = mlp(12, 16, 4, activation=nn.Tanh).requires_grad_(False)

    def batch(_step: int) -> Batch:
        inputs = torch.randn(32, 12)
        noise = torch.tensor([0.02, 0.05, 0.3, 0.1])
        return inputs, truth(inputs) + noise * torch.randn(32, 4)

    def loss(batch: Batch) -> torch.Tensor:
        hidden = torch.relu(net["trunk"](batch[0]))
        mean, log_variance = net["heads"](hidden).chunk(2, 1)
        log_variance = log_variance.clamp(-7.0, 7.0)
        error = (batch[1] - mean).square() * torch.exp(-log_variance)
        return (error + log_variance).mean() / 2

    return Job(net, adam(net), batch, loss, constant(1e-3))


TASKS = (
    Task("adversarial", adversarial, steps=2500),
    Task("variational", variational, steps=2000),
    Task("annealed", partial(variational, 2000), steps=2500),
    Task("autoencoder", autoencoder, steps=2000, full=False, tuning=0),
    Task("denoising", denoising, steps=2500, tuning=0, test=3),
    Task("likelihood", likelihood, steps=2500),
)
