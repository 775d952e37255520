"""Trains: one step of all ranks of a job, with or without a fault, measured or not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from benchmarks.detection.fault import Fault
from benchmarks.detection.meter import Meter
from benchmarks.detection.task import Job, Task

Tensors: TypeAlias = Mapping[str, Any]
HEALTHY = Fault()


@dataclass(frozen=True)
class Snapshot:
    """Weights and optimizer state of every rank before a step."""

    step: int
    models: Sequence[Tensors]
    optimizers: Sequence[Tensors]


class Training:
    """The same training for the same task and seed, step by step."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task = task
        self.seed = seed
        self.ranks = [self._build(rank) for rank in range(task.ranks)]
        self._fault, self._since = HEALTHY, 0

    def _build(self, rank: int) -> Job:
        torch.manual_seed(self.seed)
        job = self.task.build()
        job.rank = rank
        return job

    def inject(self, fault: Fault, step: int) -> None:
        """Put a fault in before this step."""
        self._fault, self._since = fault, step
        torch.manual_seed(self.seed)
        for job in self.ranks:
            fault.begin(job)

    def meters(self, late: float = 0.0) -> list[Meter]:
        """One new meter for each rank, whose clock starts so many seconds late."""
        full, seed = self.task.full, self.seed
        return [Meter(job, full=full, seed=seed + job.rank, late=late) for job in self.ranks]

    def step(self, step: int, meters: Sequence[Meter] = ()) -> float:
        """Train one step, measured if there are meters; returns the mean loss of the ranks."""
        reported = [self._backward(job, step) for job in self.ranks]
        if len(self.ranks) > 1:
            for job, scalars in zip(self.ranks, reported, strict=True):
                scalars["local_grad_norm"] = _norm(job)
            _all_reduce(self.ranks)
        if step % self.task.log_every:
            meters = ()
        for rank, (job, scalars) in enumerate(zip(self.ranks, reported, strict=True)):
            self._update(job, step, scalars, meters[rank] if meters else None)
        return sum(scalars["loss"] for scalars in reported) / len(reported)

    def _backward(self, job: Job, step: int) -> dict[str, float]:
        """Gradients of this step's batch; returns what the job reports beside them."""
        since, fault = step - self._since, self._fault
        rate = fault.rate(since, job.rate(step))
        for group in job.optimizer.param_groups:
            group["lr"] = rate
        torch.default_generator.manual_seed((self.seed * 100_003 + step) * 16 + job.rank)
        batch = fault.batch(since, job.batch(step), job.rank)
        job.optimizer.zero_grad()
        loss = job.loss(batch)
        torch.autograd.backward(loss)
        fault.gradients(since, job)
        extra = job.scalars(batch) if self.task.full else {}
        return {"loss": float(loss.detach()), "lr": rate, **extra}

    def _update(
        self, job: Job, step: int, scalars: Mapping[str, float], meter: Meter | None
    ) -> None:
        scalars, skipped = {**scalars}, False
        self._fault.reduced(step - self._since, job)
        if job.scaler is not None:
            scalars["loss_scale"] = job.scaler.scale
            overflow = job.scaler.round_trip(_gradients(job))
            scalars["found_inf"] = float(overflow)
            skipped = overflow and job.scaler.checked
        if job.clip is not None and self.task.full:
            scalars["clip_norm"] = job.clip
        if meter is not None:
            meter.before(step, scalars)
        if job.clip is not None:
            torch.nn.utils.clip_grad_norm_(job.parameters, job.clip)
        if not skipped:
            job.optimizer.step()
        self._fault.weights(step - self._since, job)
        if meter is not None:
            meter.after()

    def snapshot(self, step: int) -> Snapshot:
        """What has to be kept to train from this step on again."""
        return Snapshot(
            step,
            [_copied(job.model.state_dict()) for job in self.ranks],
            [_copied(job.optimizer.state_dict()["state"]) for job in self.ranks],
        )

    def restore(self, snapshot: Snapshot, *, optimizer: bool = True) -> None:
        """Take the weights of a snapshot, and the optimizer's state if wanted."""
        for rank, job in enumerate(self.ranks):
            job.model.load_state_dict(snapshot.models[rank], strict=False)
            state = snapshot.optimizers[rank] if optimizer else {}
            job.optimizer.load_state_dict({**job.optimizer.state_dict(), "state": _copied(state)})


def _copied(tree: Any) -> Any:
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone()
    if isinstance(tree, Mapping):
        return {key: _copied(value) for key, value in tree.items()}
    return tree


def _gradients(job: Job) -> list[torch.Tensor]:
    return [p.grad for p in job.parameters if p.grad is not None]


def _norm(job: Job) -> float:
    return math.sqrt(sum(float(g.square().sum()) for g in _gradients(job)))


def _all_reduce(ranks: Sequence[Job]) -> None:
    """Give every rank the mean of all gradients, to the last bit the same."""
    for parts in zip(*map(_gradients, ranks), strict=True):
        mean = torch.stack(list(parts)).mean(0)
        for part in parts:
            part.copy_(mean)
