"""The gradient of a recurrent net explodes on its way back through time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from benchmarks.detection.fault import Case, Fault
from benchmarks.detection.task import Job

CAUSES = ("explosion-through-time", "clip-missing-or-loose")


@torch.no_grad()
def rescale(job: Job, radius: float) -> None:
    """Give the recurrent matrix this spectral radius."""
    weight = job.model.rnn.weight_hh_l0
    weight.mul_(radius / float(torch.linalg.eigvals(weight).abs().max()))


@dataclass(frozen=True)
class LargeRadius(Fault):
    """From the start: recurrent matrix of this radius, ``faster`` times the rate, no clipping."""

    id: ClassVar[str] = "large-radius"
    causes: ClassVar[tuple[str, ...]] = CAUSES
    from_start: ClassVar[bool] = True
    radius: float
    faster: float = 1.0

    def begin(self, job: Job) -> None:
        job.clip = None
        rescale(job, self.radius)

    def rate(self, since: int, rate: float) -> float:
        del since
        return rate * self.faster

    def repair(self, job: Job) -> None:
        rescale(job, 1.0)


@dataclass(frozen=True)
class GrowingRadius(Fault):
    """The recurrent matrix of a trained net grows by ``growth`` a step; clipping goes on."""

    id: ClassVar[str] = "growing-radius"
    causes: ClassVar[tuple[str, ...]] = ("explosion-through-time", "weights-growing")
    gradual: ClassVar[bool] = True
    growth: float

    @torch.no_grad()
    def weights(self, since: int, job: Job) -> None:
        if since >= 0:
            job.model.rnn.weight_hh_l0.mul_(1 + self.growth)

    def repair(self, job: Job) -> None:
        rescale(job, 1.0)


CASES = (
    Case("rnn-order", [LargeRadius(r, f) for r, f in ((2.2, 3), (2.5, 1), (2.0, 10))], after=300),
    Case("irnn-adding", [LargeRadius(r) for r in (1.1, 1.2, 1.3)], after=300),
    Case("rnn-order", [GrowingRadius(g) for g in (0.003, 0.005)], after=350),
    Case("irnn-adding", [GrowingRadius(g) for g in (0.001, 0.002)], after=500),
)
