"""The data go wrong: a bad batch or four, a NaN, labels that mean something else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from benchmarks.detection.fault import Case, Events, Fault
from benchmarks.detection.task import Batch


@dataclass(frozen=True)
class PoisonedBatch(Fault):
    """Batches ``at`` these steps since the injection are garbage under the wrong labels."""

    id: ClassVar[str] = "poisoned-batch"
    causes: ClassVar[tuple[str, ...]] = ("data-outlier",)
    systemic: ClassVar[bool] = False
    harmless: ClassVar[bool] = True
    factor: float = 30.0
    at: tuple[int, ...] = (0,)

    def batch(self, since: int, batch: Batch, rank: int) -> Batch:
        del rank
        return self._poisoned(*batch) if since in self.at else batch

    def _poisoned(self, inputs: torch.Tensor, *targets: torch.Tensor) -> Batch:
        if inputs.is_floating_point():
            inputs = self.factor * inputs
        else:
            inputs = torch.randint_like(inputs, int(inputs.max()) + 1)
        return inputs, *(target[torch.randperm(len(target))] for target in targets)


@dataclass(frozen=True)
class PoisonedBatches(PoisonedBatch):
    """Four of them within 48 steps."""

    id: ClassVar[str] = "poisoned-batches"
    at: tuple[int, ...] = (0, 9, 25, 47)


@dataclass(frozen=True)
class NaNSample(Fault):
    """One sample with a missing value that nobody replaced."""

    id: ClassVar[str] = "nan-sample"
    causes: ClassVar[tuple[str, ...]] = ("non-finite-input",)

    def batch(self, since: int, batch: Batch, rank: int) -> Batch:
        del rank
        if since == 0:
            batch[0].view(-1)[0] = math.nan
        return batch


@dataclass(frozen=True)
class LabelShift(Fault):
    """A new phase, announced: every class has another name."""

    id: ClassVar[str] = "distribution-shift"
    causes: ClassVar[tuple[str, ...]] = ("distribution-shift",)
    systemic: ClassVar[bool] = False
    repairable: ClassVar[bool] = False

    def batch(self, since: int, batch: Batch, rank: int) -> Batch:
        del rank
        return batch if since < 0 else (batch[0], (batch[1] + 1) % (int(batch[1].max()) + 1))

    def events(self, start: int) -> Events:
        return ({"kind": "phase", "step": start, "text": "new labels"},)


CASES = (
    Case("mlp-adam", [PoisonedBatch(f) for f in (10, 20)], after=200),
    Case("char-gru", [PoisonedBatch()], after=200),
    Case("deep-relu", [PoisonedBatch(f) for f in (5, 10)], after=200),
    Case("tanh-mlp", [PoisonedBatch(20)], after=200),
    Case("mlp-adam", [PoisonedBatches(f) for f in (10, 5)], after=250),
    Case("variational", [PoisonedBatches(f) for f in (5, 10)], after=250),
    Case("mlp-adam", [NaNSample()], after=60),
    Case("convnet", [NaNSample()], after=60),
    Case("tanh-mlp", [NaNSample()], after=60),
    Case("deep-relu", [LabelShift()], after=300),
    Case("residual-norm", [LabelShift()], after=300),
)
