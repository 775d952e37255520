"""What a task is: a small real training, built from a seed, that goes well if left alone.

To add one, drop a file with ``TASKS`` into ``tasks/``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import torch
from torch import nn

from benchmarks.detection import tasks
from benchmarks.detection.loss_scale import LossScale
from gradwatch.values import Float32Array

Batch: TypeAlias = tuple[torch.Tensor, ...]
Rate: TypeAlias = Callable[[int], float]


def batch_size(batch: Batch) -> dict[str, float]:
    """What most jobs report beside the loss."""
    return {"batch_size": float(len(batch[0]))}


def sequence(batch: Batch) -> dict[str, float]:
    """What a job with sequences of varying length reports beside the loss."""
    return {"batch_size": float(len(batch[0])), "seq_len": float(batch[0].shape[1])}


@dataclass
class Job:
    """The live parts of one process of a training; training changes them, and so do faults.

    ``batch`` draws the batch of a step from torch's generator, which is seeded before every step,
    so a step repeated from a snapshot is the same step. ``rate``: learning rate of a step;
    ``scalars``: what is reported beside the loss; ``profile``: norms of ∂L/∂h_t, after backward.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    batch: Callable[[int], Batch]
    loss: Callable[[Batch], torch.Tensor]
    rate: Rate
    clip: float | None = None
    scaler: LossScale | None = None
    scalars: Callable[[Batch], Mapping[str, float]] = batch_size
    profile: Callable[[], Float32Array] | None = None
    rank: int = 0

    def __post_init__(self) -> None:
        self.parameters = list(self.model.parameters())


@dataclass(frozen=True)
class Task:
    """A family of healthy runs.

    ``full`` jobs report all that a client can send, the others what a user types by hand;
    ``log_every``: steps from one report to the next; ``crash``: step at which the job dies, to be
    resumed from a checkpoint ``back`` steps older, with or without its optimizer; ``phases``: steps
    that the job announces as the beginning of a new phase; ``tuning`` and
    ``test``: how many healthy runs each split gets (0 tuning runs: held out).
    """

    name: str
    build: Callable[[], Job]
    steps: int = 1500
    full: bool = True
    log_every: int = 1
    ranks: int = 1
    crash: int | None = None
    back: int = 40
    keeps_optimizer: bool = True
    phases: tuple[int, ...] = ()
    tuning: int = 1
    test: int = 2

    @property
    def module(self) -> str:
        """The module that defines it."""
        return getattr(self.build, "func", self.build).__module__


@cache
def catalogue() -> Mapping[str, Task]:
    """Every task of the folder by its name."""
    modules = (f"{tasks.__name__}.{m.name}" for m in pkgutil.iter_modules(tasks.__path__))
    found = [task for module in modules for task in importlib.import_module(module).TASKS]
    return {task.name: task for task in found}
