"""Trains, measures and labels one run: healthy, resumed, or with a fault put in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.detection import fault as faults
from benchmarks.detection import task as tasks
from benchmarks.detection.meter import Meter
from benchmarks.detection.oracle import CHECKS, SNAPSHOT_EVERY, Oracle
from benchmarks.detection.recording import FRESH, Label, Recording, Stream
from benchmarks.detection.trainer import Snapshot, Training
from gradwatch_service.domain import JsonValue

SEEDS = {"tuning": 1, "test": 101, FRESH: 301}  # the first of each split
PAUSE_SECONDS = 3600.0  # between the death of a job and its next attempt
GIVE_UP = 30  # steps after which a run that is nothing but NaN ends


@dataclass(frozen=True)
class Plan:
    """One run to record; ``case``: place in the catalogue of faults, None: healthy."""

    split: str
    task: str
    variant: str
    seed: int
    case: int | None = None

    @property
    def name(self) -> str:
        """Unique among all runs, and the stem of the file."""
        return f"{self.task}--{self.variant}--{self.seed}"

    def path(self, folder: Path) -> Path:
        """Where its recording is kept."""
        return folder / self.split / f"{self.name}.npz"


def plans(split: str) -> Iterator[Plan]:
    """Every run of a split."""
    first, count = SEEDS[split], "test" if split == FRESH else split
    for task in tasks.catalogue().values():
        for seed in range(first, first + getattr(task, count)):
            yield Plan(split, task.name, "healthy", seed)
    for place, case in enumerate(faults.catalogue()):
        for seed in range(first, first + getattr(case, count)):
            yield Plan(split, case.task, case.fault(seed).id, seed, place)


def record(plan: Plan) -> Recording | None:
    """Train and label one run; None if the fault did no harm, so that there is nothing to find."""
    torch.set_num_threads(1)
    return _healthy(plan) if plan.case is None else _faulty(plan, faults.catalogue()[plan.case])


def _healthy(plan: Plan) -> Recording:
    task = tasks.catalogue()[plan.task]
    training = Training(task, plan.seed)
    meters = training.meters()
    if task.crash is None:
        for step in range(task.steps):
            training.step(step, meters)
        events: faults.Events = tuple({"kind": "phase", "step": at} for at in task.phases)
        return _recording(plan, meters, _streams(meters, events))
    return _resumed(plan, task, training)


def _resumed(plan: Plan, task: tasks.Task, training: Training) -> Recording:
    """The job dies and is taken up again from its newest checkpoint, some steps back."""
    assert task.crash is not None
    checkpoint = task.crash - task.back
    first = training.meters()
    snapshot = training.snapshot(0)
    for step in range(task.crash):
        if step == checkpoint:
            snapshot = training.snapshot(step)
        training.step(step, first)
    training = Training(task, plan.seed)
    training.restore(snapshot, optimizer=task.keeps_optimizer)
    second = training.meters(PAUSE_SECONDS)
    for step in range(checkpoint, task.steps):
        training.step(step, second)
    event: dict[str, JsonValue] = {"kind": "resume", "step": checkpoint}
    again = [meter.stream(f"again-{i}", (event,), checkpoint) for i, meter in enumerate(second)]
    return _recording(plan, first, [*_streams(first), *again])


def _faulty(plan: Plan, case: faults.Case) -> Recording | None:
    task, fault = tasks.catalogue()[case.task], case.fault(plan.seed)
    start = case.start(plan.seed)
    training = Training(task, plan.seed)
    meters = training.meters()
    twin = [training.step(step, meters) for step in range(start)]
    origin = training.snapshot(start)
    training.inject(fault, start)
    if start == 0:
        meters = training.meters()  # of the job as it is with the fault
    losses, snapshots = _train_on(training, range(start, start + case.after), meters)
    healthy = Training(task, plan.seed)
    healthy.restore(origin)
    twin += [healthy.step(start + since) for since in range(len(losses) + CHECKS[-1])]
    oracle = Oracle(task, plan.seed, fault, start, twin)
    if not (fault.harmless or oracle.harmed(losses)):
        return None
    streams = _streams(meters, fault.events(start))
    lost = oracle.first_lost(snapshots) if fault.repairable else None
    label = _label(fault, start, _first_non_finite(streams, start), lost)
    return _recording(plan, meters, streams, label)


def _train_on(
    training: Training, steps: range, meters: Sequence[Meter]
) -> tuple[list[float], list[Snapshot]]:
    """Train until the end, or until there is nothing left but NaN; the losses, and snapshots."""
    losses: list[float] = []
    snapshots: list[Snapshot] = []
    for since, step in enumerate(steps):
        if since % SNAPSHOT_EVERY == 0 or since < SNAPSHOT_EVERY // 2:
            snapshots.append(training.snapshot(step))
        losses.append(training.step(step, meters))
        if since >= GIVE_UP and not np.isfinite(losses[-GIVE_UP:]).any():
            break
    return losses, snapshots


def _label(fault: faults.Fault, start: int, broken: int | None, lost: int | None) -> Label:
    return Label(
        fault=fault.id,
        t0=start,
        t_nf=broken,
        t_irr=lost,
        causes=fault.causes,
        systemic=fault.systemic,
        gradual=fault.gradual,
        repairable=fault.repairable,
    )


def _streams(meters: Sequence[Meter], events: faults.Events = ()) -> list[Stream]:
    return [meter.stream(f"rank-{rank}", events) for rank, meter in enumerate(meters)]


def _recording(
    plan: Plan, meters: Sequence[Meter], writers: Sequence[Stream], label: Label | None = None
) -> Recording:
    return Recording(
        family=plan.task,
        variant=plan.variant,
        seed=plan.seed,
        split=plan.split,
        layers=meters[0].layers,
        config=meters[0].config,
        writers=tuple(writers),
        label=label,
    )


def _first_non_finite(streams: Iterable[Stream], start: int) -> int | None:
    steps = [
        int(stream.steps[row])
        for stream in streams
        for name in ("loss", "grad_norm")
        for row in np.flatnonzero(~np.isfinite(stream.scalars[name]) & (stream.steps >= start))[:1]
    ]
    return min(steps, default=None)
