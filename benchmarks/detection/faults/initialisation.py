"""A bad start: weights far from critical gain, saturating chains, no normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from benchmarks.detection.fault import Case, Fault
from benchmarks.detection.task import Job


def scale(job: Job, factor: float) -> None:
    """Multiply the weights of all hidden linear layers of a chain."""
    linear = [part for part in job.model.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for part in linear[:-1]:
            part.weight.mul_(factor)


@dataclass(frozen=True)
class BadInitialisation(Fault):
    """Weights of a deep chain at ``gain`` times the critical gain."""

    id: ClassVar[str] = "bad-initialisation"
    causes: ClassVar[tuple[str, ...]] = ("bad-initialisation",)
    from_start: ClassVar[bool] = True
    gain: float

    def begin(self, job: Job) -> None:
        scale(job, self.gain)

    def repair(self, job: Job) -> None:
        scale(job, 1 / self.gain)


@dataclass(frozen=True)
class Saturation(Fault):
    """Sigmoids in place of every activation of a deep chain: almost no gradient comes back."""

    id: ClassVar[str] = "vanishing-gradients"
    causes: ClassVar[tuple[str, ...]] = ("vanishing-gradients",)
    systemic: ClassVar[bool] = False
    repairable: ClassVar[bool] = False
    from_start: ClassVar[bool] = True
    harmless: ClassVar[bool] = True

    def begin(self, job: Job) -> None:
        replace(job.model, (nn.GELU, nn.Tanh), nn.Sigmoid)


@dataclass(frozen=True)
class MissingNormalisation(Fault):
    """The normalisation that held a chain together is taken out of the running model."""

    id: ClassVar[str] = "missing-normalisation"
    causes: ClassVar[tuple[str, ...]] = ("missing-normalisation",)

    def begin(self, job: Job) -> None:
        replace(job.model, (nn.LayerNorm,), nn.Identity)


@dataclass(frozen=True)
class NeverNormalised(Fault):
    """The same chain built without any normalisation."""

    id: ClassVar[str] = "never-normalised"
    causes: ClassVar[tuple[str, ...]] = ("missing-normalisation", "bad-initialisation")
    from_start: ClassVar[bool] = True
    repairable: ClassVar[bool] = False

    def begin(self, job: Job) -> None:
        replace(job.model, (nn.LayerNorm,), nn.Identity)


def replace(net: nn.Module, old: tuple[type[nn.Module], ...], new: type[nn.Module]) -> None:
    for name, part in net.named_children():
        if isinstance(part, old):
            setattr(net, name, new())


def gains(*factors: float) -> list[BadInitialisation]:
    return [BadInitialisation(factor) for factor in factors]


CASES = (
    Case("deep-relu-10", gains(3.0, 2.5), after=300),
    Case("deep-gelu-20", gains(2.0, 3.0, 2.5), after=300),
    Case("deep-tanh-20", gains(3.0, 2.0), after=300),
    Case("deep-relu-50", gains(2.0, 3.0), after=200),
    Case("deep-tanh-20", [Saturation()], after=300, tuning=2, test=3),
    Case("plain-norm", [MissingNormalisation()], after=300, test=4),
    Case("plain-norm", [NeverNormalised()], after=300, tuning=0, test=3),
)
