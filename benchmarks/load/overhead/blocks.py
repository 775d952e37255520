"""Runs short blocks of steps, each watched by somebody else, in an order shuffled every round."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from benchmarks.load.overhead.jobs import Job
from benchmarks.load.overhead.watchers import Watching

WARNING = "called a synchronizing"  # of torch


@dataclass(frozen=True)
class Samples:
    """Seconds a step of each block, one a round: passed, and of processor time.

    ``call`` and ``call_cpu``: the same within the watcher's own call, in the thread that trains.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    call: list[float] = field(default_factory=list)
    call_cpu: list[float] = field(default_factory=list)


def measure(
    job: Job, watchings: Mapping[str, Watching], rounds: int, steps: int
) -> dict[str, Samples]:
    """Every watcher has one block a round; a first round is not counted."""
    samples = {name: Samples() for name in watchings}
    shuffled, order = random.Random(7), list(watchings)
    for name in order:
        _block(job, watchings[name], steps, Samples())
    for _ in range(rounds):
        shuffled.shuffle(order)
        for name in order:
            _block(job, watchings[name], steps, samples[name])
    return samples


def _block(job: Job, watching: Watching, steps: int, samples: Samples) -> None:
    watching.attach()
    _await(job.device)
    wall, cpu = time.perf_counter(), time.process_time()
    within = [step(job, watching) for _ in range(steps)]
    _await(job.device)
    samples.wall.append((time.perf_counter() - wall) / steps)
    samples.cpu.append((time.process_time() - cpu) / steps)
    samples.call.append(sum(passed for passed, _ in within) / steps)
    samples.call_cpu.append(sum(used for _, used in within) / steps)
    watching.detach()


def step(job: Job, watching: Watching) -> tuple[float, float]:
    """One step of training; the seconds within the watcher's call, passed and of processor time."""
    job.optimizer.zero_grad()
    loss = job.loss()
    loss.backward()
    begun, used = time.perf_counter(), time.thread_time()
    update = watching.step(loss)
    within = time.perf_counter() - begun, time.thread_time() - used
    if update:
        job.optimizer.step()
    return within


def _await(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def synchronisations(job: Job, watching: Watching, steps: int = 10) -> float:
    """How often a step made the host wait for the GPU, as torch itself counts it."""
    watching.attach()
    for _ in range(2):
        step(job, watching)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        for _ in range(steps):
            step(job, watching)
        torch.cuda.set_sync_debug_mode("default")
    watching.detach()
    return sum(WARNING in str(one.message) for one in caught) / steps
