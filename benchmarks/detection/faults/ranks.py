"""One of four ranks goes wrong: a bad shard of the data, a flipped bit in memory or on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from benchmarks.detection.fault import Case, Fault
from benchmarks.detection.task import Batch, Job

SICK = 2  # the rank that goes wrong


@dataclass(frozen=True)
class BadShard(Fault):
    """The inputs of one rank are ``factor`` times as large as those of the others."""

    id: ClassVar[str] = "bad-shard"
    causes: ClassVar[tuple[str, ...]] = ("hardware-or-rank",)
    harmless: ClassVar[bool] = True
    factor: float = 8.0

    def batch(self, since: int, batch: Batch, rank: int) -> Batch:
        return batch if since < 0 or rank != SICK else (self.factor * batch[0], *batch[1:])


@dataclass(frozen=True)
class FlippedWeight(Fault):
    """One bit of one weight of one rank flips: its replica is no longer like the others."""

    id: ClassVar[str] = "flipped-weight"
    causes: ClassVar[tuple[str, ...]] = ("hardware-or-rank",)
    harmless: ClassVar[bool] = True
    bit: int

    def begin(self, job: Job) -> None:
        if job.rank == SICK:
            flip(job.parameters[2].detach(), self.bit)


@dataclass(frozen=True)
class FlippedGradient(Fault):
    """On one rank one bit of the averaged gradient flips at every step, as on a bad link."""

    id: ClassVar[str] = "flipped-gradient"
    causes: ClassVar[tuple[str, ...]] = ("hardware-or-rank",)
    harmless: ClassVar[bool] = True
    bit: int = 25

    def reduced(self, since: int, job: Job) -> None:
        gradient = job.parameters[2].grad
        if since >= 0 and job.rank == SICK and gradient is not None:
            flip(gradient, self.bit)


def flip(tensor: torch.Tensor, bit: int) -> None:
    """Flip a bit of the first element; 23 to 30 are the exponent of a float32."""
    tensor.view(torch.int32).view(-1)[0] ^= 1 << bit


CASES: Sequence[Case] = (
    Case("four-ranks", [BadShard()], after=250, tuning=2, test=3),
    Case("four-ranks", [FlippedWeight(b) for b in (25, 30)], after=200, tuning=2, test=3),
    Case("four-ranks", [FlippedGradient()], after=200, tuning=0, test=3),
)
