"""Weights go wrong: they grow, units die, attention sharpens, one layer gets it all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from benchmarks.detection.fault import Case, Fault
from benchmarks.detection.task import Job


@dataclass(frozen=True)
class WeightsGrowing(Fault):
    """A weight decay of the wrong sign: every matrix grows by ``growth`` a step."""

    id: ClassVar[str] = "weights-growing"
    causes: ClassVar[tuple[str, ...]] = ("weights-growing",)
    gradual: ClassVar[bool] = True
    growth: float

    def weights(self, since: int, job: Job) -> None:
        if since >= 0:
            multiply((p for p in job.parameters if p.ndim > 1), 1 + self.growth)


@dataclass(frozen=True)
class AttentionSharpens(Fault):
    """Queries and keys grow by ``growth`` a step, the logits twice as fast."""

    id: ClassVar[str] = "attention-sharpens"
    causes: ClassVar[tuple[str, ...]] = ("weights-growing", "one-layer")
    systemic: ClassVar[bool] = False
    gradual: ClassVar[bool] = True
    harmless: ClassVar[bool] = True
    growth: float = 0.01

    def weights(self, since: int, job: Job) -> None:
        if since >= 0:
            multiply(queries_and_keys(job), 1 + self.growth)


@dataclass(frozen=True)
class AttentionLogits(Fault):
    """Queries and keys ten times as large from one step to the next: logits a hundred times."""

    id: ClassVar[str] = "attention-logits"
    causes: ClassVar[tuple[str, ...]] = ("one-layer", "weights-growing")
    systemic: ClassVar[bool] = False
    harmless: ClassVar[bool] = True
    factor: float = 10.0

    def begin(self, job: Job) -> None:
        multiply(queries_and_keys(job), self.factor)

    def repair(self, job: Job) -> None:
        multiply(queries_and_keys(job), 1 / self.factor)


@dataclass(frozen=True)
class OneLayer(Fault):
    """The gradient of the first weight tensor is ``factor`` times what it should be."""

    id: ClassVar[str] = "one-layer"
    causes: ClassVar[tuple[str, ...]] = ("one-layer",)
    factor: float = 100.0

    def gradients(self, since: int, job: Job) -> None:
        gradient = job.parameters[0].grad
        if since >= 0 and gradient is not None:
            gradient.mul_(self.factor)


@dataclass(frozen=True)
class DeadUnits(Fault):
    """The biases of nearly all units of one hidden layer fall: once rectified, they are silent."""

    id: ClassVar[str] = "dead-units"
    causes: ClassVar[tuple[str, ...]] = ("dead-units",)
    systemic: ClassVar[bool] = False
    repairable: ClassVar[bool] = False
    harmless: ClassVar[bool] = True
    fall: float

    def begin(self, job: Job) -> None:
        linear = [part for part in job.model.modules() if isinstance(part, nn.Linear)]
        layer = linear[len(linear) // 2]
        with torch.no_grad():
            layer.bias[: layer.out_features * 15 // 16] -= self.fall


def queries_and_keys(job: Job) -> Iterator[torch.Tensor]:
    for name, parameter in job.model.named_parameters():
        if name.endswith(("query.weight", "key.weight")):
            yield parameter


@torch.no_grad()
def multiply(tensors: Iterator[torch.Tensor], factor: float) -> None:
    for tensor in tensors:
        tensor.mul_(factor)


CASES = (
    Case("deep-relu", [WeightsGrowing(g) for g in (0.003, 0.004)], after=500),
    Case("variational", [WeightsGrowing(g) for g in (0.003, 0.006)], after=600),
    Case("transformer", [AttentionSharpens()], after=400, tuning=2, test=3),
    Case("transformer", [AttentionLogits()], after=250, tuning=2, test=3),
    Case("word-vectors", [OneLayer(f) for f in (100, 50)]),
    Case("deep-relu", [OneLayer(f) for f in (100, 300)]),
    Case("tanh-mlp", [OneLayer(f) for f in (100, 300)]),
    Case("deep-relu", [DeadUnits(f) for f in (4.0, 20.0)], after=300),
    Case("mlp-adam", [DeadUnits(f) for f in (8.0, 20.0)], after=300),
)
