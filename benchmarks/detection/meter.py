"""What a client measures of a job, by the client's own kernels, kept instead of sent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.detection.recording import Stream, columns, tables
from benchmarks.detection.task import Job
from gradwatch.integrations.foreach import Parts, dense, norms
from gradwatch.integrations.module_tree import describe
from gradwatch.values import Float32Array, global_norm, missing32
from gradwatch_service.domain import JsonValue

SECONDS_A_STEP = 0.25
EPSILON = 1e-8  # of Adam; below it the second moment does not divide
CPU = torch.device("cpu")


class Meter:
    """Measures one process: ``before`` its update, gradients unclipped, and ``after`` it."""

    def __init__(self, job: Job, *, full: bool, seed: int, late: float = 0.0) -> None:
        self._job = job
        self._full = full
        watched = describe(job.model)
        self._layers = [item.layer for item in watched]
        self._parameters: list[torch.Tensor] = [item.parameter for item in watched]
        self._copy = [torch.empty_like(parameter) for parameter in self._parameters]
        self._pace = np.random.default_rng(seed)
        self._clock = 1.8e9 + late
        self._steps: list[int] = []
        self._times: list[float] = []
        self._scalars: list[dict[str, float]] = []
        self._stats: list[dict[str, Float32Array]] = []
        self._profiles: list[dict[str, Float32Array]] = []

    @property
    def layers(self) -> tuple[dict[str, Any], ...]:
        """The layer table as the product sees it."""
        return tuple(layer.as_json() for layer in self._layers)

    @property
    def config(self) -> dict[str, JsonValue]:
        """What the client's monitor says about the job."""
        optimizer = self._job.optimizer
        facts: dict[str, JsonValue] = {
            "framework": "pytorch",
            "optimizer": type(optimizer).__name__,
        }
        betas = optimizer.defaults.get("betas")
        return facts if betas is None else {**facts, "betas": list(betas)}

    @torch.no_grad()
    def before(self, step: int, scalars: Mapping[str, float]) -> float:
        """Measure the gradients of a step; returns the global norm."""
        self._clock += SECONDS_A_STEP * float(np.exp(self._pace.normal(0.0, 0.1)))
        present = {
            place: dense(parameter.grad)
            for place, parameter in enumerate(self._parameters)
            if parameter.grad is not None
        }
        places, gradients = list(present), list(present.values())
        parts = Parts(len(self._parameters), CPU)
        parts.add("grad_norm", places, norms(gradients))
        if self._full:
            parts.add("weight_norm", range(len(self._parameters)), norms(self._parameters))
            parts.add("grad_max", places, norms(gradients, math.inf))
            torch._foreach_copy_(self._copy, self._parameters)
        stats, _ = parts.fetch({})
        norm = global_norm(stats["grad_norm"])
        if self._full:
            stats |= self._counts(places, gradients, stats)
        self._steps.append(step)
        self._times.append(self._clock)
        self._scalars.append({**scalars, "grad_norm": norm})
        self._stats.append(stats)
        profile = self._job.profile if self._full else None
        self._profiles.append({} if profile is None else {"time": profile()})
        return norm

    @torch.no_grad()
    def after(self) -> None:
        """Measure the update that was made."""
        if not self._full:
            return
        torch._foreach_sub_(self._copy, self._parameters)
        parts = Parts(len(self._parameters), CPU)
        parts.add("update_norm", range(len(self._parameters)), norms(self._copy))
        self._stats[-1] |= parts.fetch({})[0]

    def stream(
        self, name: str, events: tuple[Mapping[str, JsonValue], ...], resumed_at: int | None = None
    ) -> Stream:
        """Everything measured so far."""
        return Stream(
            name=name,
            steps=np.array(self._steps, np.int64),
            time=np.array(self._times),
            scalars=columns(self._scalars),
            stats=tables(self._stats),
            profiles=tables(self._profiles),
            events=events,
            resumed_at=resumed_at,
        )

    def _counts(
        self, places: list[int], gradients: list[torch.Tensor], norm: Mapping[str, Float32Array]
    ) -> dict[str, Float32Array]:
        """Zero fraction, non-finite counts and rms(g/√v) of each layer, from one flat copy."""
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients]).numpy()
        sizes = np.array([gradient.numel() for gradient in gradients])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        found = {
            "grad_zero": np.add.reduceat(flat == 0, starts, dtype=np.int64) / sizes,
            "grad_nonfinite": np.add.reduceat(~np.isfinite(flat), starts, dtype=np.int64),
        }
        with np.errstate(over="ignore", invalid="ignore"):
            second = self._second_moment(places)
            if second is not None:
                ratio = flat / np.maximum(np.sqrt(second), EPSILON)
                found["moment_rms"] = np.sqrt(np.add.reduceat(ratio * ratio, starts) / sizes)
        counts = {name: self._spread(places, values) for name, values in found.items()}
        return counts | {"weight_nonfinite": self._broken_weights(norm["weight_norm"])}

    def _second_moment(self, places: list[int]) -> Float32Array | None:
        """Adam's v before the update with its bias corrected, flat; None: no Adam, or no step."""
        states = [self._job.optimizer.state.get(self._parameters[place], {}) for place in places]
        if not all("exp_avg_sq" in state for state in states):
            return None
        beta2 = self._job.optimizer.param_groups[0]["betas"][1]
        flat = torch.cat([state["exp_avg_sq"].reshape(-1) for state in states])
        steps = float(states[0]["step"])
        return np.asarray(flat.numpy() / np.float32(1 - beta2**steps))

    def _broken_weights(self, weight_norm: Float32Array) -> Float32Array:
        counts = np.zeros(len(self._parameters), np.float32)
        for place in np.flatnonzero(~np.isfinite(weight_norm)):
            counts[place] = float((~torch.isfinite(self._parameters[place])).sum())
        return counts

    def _spread(self, places: list[int], values: np.ndarray) -> Float32Array:
        row = missing32(len(self._parameters))
        row[places] = values
        return row
