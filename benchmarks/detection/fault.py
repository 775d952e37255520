"""What a fault is: hooks into a training that goes well without it, and the facts of its label.

To add one, drop a file with ``CASES`` into ``faults/``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, TypeAlias

import numpy as np

from benchmarks.detection import faults
from benchmarks.detection.task import Batch, Job
from gradwatch_service.domain import JsonValue

Events: TypeAlias = tuple[Mapping[str, JsonValue], ...]


@dataclass(frozen=True)
class Fault:
    """Does nothing by itself; ``since`` counts the steps from the injection.

    ``causes``: acceptable cause ids, the one meant first. A fault ``from_start`` is in place before
    the first step. Only runs that were harmed are kept (``Oracle.harmed``), unless ``harmless``
    says that the fault is worth a word in any case.
    """

    id: ClassVar[str]
    causes: ClassVar[tuple[str, ...]]
    systemic: ClassVar[bool] = True
    gradual: ClassVar[bool] = False
    repairable: ClassVar[bool] = True
    from_start: ClassVar[bool] = False
    harmless: ClassVar[bool] = False

    def begin(self, job: Job) -> None:
        """Change the job itself, once."""

    def rate(self, since: int, rate: float) -> float:  # noqa: ARG002
        """The learning rate instead of ``rate``."""
        return rate

    def batch(self, since: int, batch: Batch, rank: int) -> Batch:  # noqa: ARG002
        """The batch instead of ``batch``."""
        return batch

    def gradients(self, since: int, job: Job) -> None:
        """Change the gradients of a rank before anybody sees them."""

    def reduced(self, since: int, job: Job) -> None:
        """Change the gradients after they were averaged over all ranks."""

    def weights(self, since: int, job: Job) -> None:
        """Change the weights after an update."""

    def events(self, start: int) -> Events:  # noqa: ARG002
        """What the job announces about it."""
        return ()

    def repair(self, job: Job) -> None:
        """The known fix beyond taking the fault away, on a job that has never had it."""


@dataclass(frozen=True)
class Case:
    """A fault in a task: one run per seed, the strengths in turn.

    ``after``: steps recorded from the injection on.
    """

    task: str
    strengths: Sequence[Fault]
    after: int = 400
    tuning: int = 1
    test: int = 2

    @property
    def name(self) -> str:
        """The fault and where it is put."""
        return f"{self.task}/{self.strengths[0].id}"

    @property
    def module(self) -> str:
        """The module that defines it."""
        return type(self.strengths[0]).__module__

    def fault(self, seed: int) -> Fault:
        """The fault at the strength of this seed."""
        return self.strengths[seed % len(self.strengths)]

    def start(self, seed: int) -> int:
        """The step at which it is injected."""
        if self.fault(seed).from_start:
            return 0
        return int(np.random.default_rng([seed, *self.name.encode()]).integers(150, 800))


@cache
def catalogue() -> tuple[Case, ...]:
    """Every case of the folder."""
    modules = (f"{faults.__name__}.{m.name}" for m in pkgutil.iter_modules(faults.__path__))
    return tuple(case for module in modules for case in importlib.import_module(module).CASES)
