"""Says when a run was lost, by trying: train on from snapshots with the known fix in place.

Definitions. The *level* of a stretch of losses is the median of its last 32, its *spread* their
median absolute deviation. The *twin* is the same training without the fault. A level is *back* if
it exceeds the target by at most max(10 % of it, two spreads of the twin). The target is the twin's
level at that step or the level before the fault, whichever is higher; for a fault from the start
it is what the twin had reached after as many steps, so a repair in place must not be worse than
starting over. A run *recovers* from a snapshot if, with the fault taken away and ``Fault.repair``
done, its loss is back within 192 steps, with the optimizer's state kept or, failing that, fresh.
``t_irr`` is the step of the first snapshot from which it does not, found by bisection; snapshots
are 10 steps apart, at first 1. A run younger than 32 steps is not lost: starting over costs less
than a warm-up. A run is *harmed* if a loss is not finite, or if the level of any 32 steps is
over the twin's by six spreads and by half of it, or of what the twin has gained since it began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.detection.fault import Fault
from benchmarks.detection.task import Task
from benchmarks.detection.trainer import Snapshot, Training

SNAPSHOT_EVERY = 10
WINDOW = MIN_AGE = 32
CHECKS = (64, 128, 192)


@dataclass(frozen=True)
class Oracle:
    """Knows the run up to the fault and what would have become of it: losses from step 0 on."""

    task: Task
    seed: int
    fault: Fault
    start: int
    twin: Sequence[float]

    def harmed(self, losses: Sequence[float]) -> bool:
        """Whether the losses from the injection on are those of a harmed run."""
        if not np.isfinite(losses).all():
            return True
        ends = range(WINDOW, len(losses) + 1, WINDOW)
        return any(_level(losses[:end]) > self._harm(self.start + end) for end in ends)

    def first_lost(self, snapshots: Sequence[Snapshot]) -> int | None:
        """The step of the first snapshot beyond repair; None if the last one is not."""
        snapshots = [taken for taken in snapshots if taken.step >= MIN_AGE]
        if not snapshots or self.recovers(snapshots[-1]):
            return None
        good, bad = -1, len(snapshots) - 1
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if self.recovers(snapshots[middle]) else (good, middle)
        return snapshots[bad].step

    def recovers(self, snapshot: Snapshot) -> bool:
        """Whether the fix still works from here."""
        weights = [value for model in snapshot.models for value in model.values()]
        if not all(bool(torch.isfinite(value).all()) for value in weights):
            return False
        stateful = any(snapshot.optimizers)
        return self._recovers(snapshot, True) or (stateful and self._recovers(snapshot, False))

    def _recovers(self, snapshot: Snapshot, keep: bool) -> bool:
        training = Training(self.task, self.seed)
        training.restore(snapshot, optimizer=keep)
        for job in training.ranks:
            self.fault.repair(job)
        losses: list[float] = []
        for step in range(snapshot.step, snapshot.step + CHECKS[-1]):
            losses.append(training.step(step))
            if not math.isfinite(losses[-1]):
                return False
            if len(losses) in CHECKS and _level(losses) <= self.target(snapshot.step, len(losses)):
                return True
        return False

    def _harm(self, end: int) -> float:
        level, spread = _level(self.twin[:end]), _spread(self.twin[:end])
        gained = float(np.median(self.twin[:8])) - level
        return level + max(min(abs(level), gained) / 2, 6 * spread)

    def target(self, step: int, done: int) -> float:
        """The highest level that counts as back after so many steps from this one on."""
        if self.start == 0:
            return _back(self.twin[:done])
        ends = (self.start, min(step + done, len(self.twin)))
        return max(_back(self.twin[:end]) for end in ends)


def _level(losses: Sequence[float]) -> float:
    return float(np.median(losses[-WINDOW:]))


def _spread(losses: Sequence[float]) -> float:
    return float(np.median(np.abs(np.array(losses[-WINDOW:]) - _level(losses))))


def _back(losses: Sequence[float]) -> float:
    """The highest level that counts as back at the level of these losses."""
    level = _level(losses)
    return level + max(0.1 * abs(level), 2 * _spread(losses))
