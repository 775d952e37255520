"""PyTorch: per-parameter norms by foreach kernels, one transfer a step, and the guard applied.

Nothing here may raise into the job, and broad excepts are rationed. So ``watch`` refuses up front
what the kernels cannot handle, ``step`` accepts any argument, and the one way left in which torch
fails, ``RuntimeError`` (its out-of-memory error is one), ends the watching with a warning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from gradwatch import clock
from gradwatch.guard import PROCEED
from gradwatch.integrations.foreach import Parts, Tensors, dense, global_norm, norms, scale
from gradwatch.integrations.module_tree import Watched, describe
from gradwatch.records import Measured, read_scalars
from gradwatch.values import Float32Array

if TYPE_CHECKING:
    from gradwatch.run import Run

COPY_EVERY_STEP_BYTES = 64 << 20  # up to here the update of every step is measured
COPY_MAX_BYTES = 1 << 30  # beyond, a copy of the parameters could take memory the job needs
COPY_SELDOM_STEPS = 10
HALF = (torch.float16, torch.bfloat16)


def watch(run: Run, model: object, optimizer: object, first_step: int) -> Monitor | None:
    """A monitor of the model's trainable parameters; None, after a warning, if it cannot be one."""
    if not isinstance(model, torch.nn.Module) or not isinstance(optimizer, torch.optim.Optimizer):
        run.warn("watch", "watch() needs a torch.nn.Module and a torch.optim.Optimizer")
        return None
    if any(map(torch.nn.parameter.is_lazy, model.parameters())):
        run.warn("watch", "watch() must come after the first forward pass of a lazy module")
        return None
    watched = [item for item in describe(model) if _is_measurable(item.parameter)]
    if not watched:
        run.warn("watch", "watch() found no trainable floating-point parameters on a local device")
        return None
    return Monitor(run, watched, optimizer, first_step)


def _is_measurable(parameter: torch.Tensor) -> bool:
    plain = type(parameter) in (torch.nn.Parameter, torch.Tensor)
    strided = parameter.layout is torch.strided and parameter.device.type != "meta"
    return plain and strided and parameter.is_floating_point()


class Monitor:
    """Watches one model; made by ``Run.watch``.

    Call ``step`` once per update, between ``backward()`` and ``optimizer.step()`` (after
    ``scaler.unscale_`` under mixed precision). The update made after a step is measured at the
    next call, so the report of a step leaves one step later.
    """

    def __init__(
        self, run: Run, watched: Sequence[Watched], optimizer: torch.optim.Optimizer, step: int
    ) -> None:
        self._run = run
        self._optimizer = optimizer
        self._parameters: list[torch.Tensor] = [item.parameter for item in watched]
        self._columns = run.add_layers([item.layer for item in watched])
        self._half = [i for i, tensor in enumerate(self._parameters) if tensor.dtype in HALF]
        self._next_step = step
        self._copy: list[torch.Tensor] | None = None
        self._copy_interval = _copy_interval(self._parameters)
        self._held: Measured | None = None
        self._broken = False
        run.add_config(_facts(optimizer, self._copy_interval))

    def step(self, loss: Any = None, **scalars: Any) -> bool:
        """Collect the statistics of one step, apply the guard, and report.

        Args:
            loss: The loss, a number or a one-element tensor (fetched together with the norms).
            scalars: More of the kind, such as ``loss_scale``, ``batch_size``, ``seq_len``.

        Returns:
            False if the guard says to skip this update: do not call ``optimizer.step()``.
        """
        if self._broken:
            return True
        try:
            with torch.no_grad():
                return self._step({"lr": _learning_rate(self._optimizer), "loss": loss, **scalars})
        except RuntimeError as error:
            self._broken = True
            self._copy = None
            self._run.warn("monitor", f"watching the model has ended: {error}")
            return True

    def flush(self) -> None:
        """Report the newest step although its update has not been measured."""
        held, self._held = self._held, None
        if held is not None:
            self._run.log_measured(held)

    def forget(self) -> None:
        """Drop the report held back and the copy: this is a fork, the parent has them."""
        self._held = self._copy = None

    def _step(self, scalars: Mapping[str, Any]) -> bool:
        step, self._next_step = self._next_step, self._next_step + 1
        gradients = [parameter.grad for parameter in self._parameters]
        arrays, fetched = self._measure(gradients, scalars)
        self._complete(arrays.pop("update_norm", None))
        numbers, unread = read_scalars(fetched)
        self._run.note_malformed(unread)
        decision = PROCEED
        if any(gradient is not None for gradient in gradients):
            numbers["grad_norm"] = global_norm(arrays["grad_norm"])
            decision = self._run.decide(numbers["grad_norm"], step)
        if decision.clip < 1.0:
            numbers["clip_norm"] = decision.clip * (numbers["grad_norm"] + 1e-6)  # the limit
            scale(gradients, decision.clip)
        self._held = Measured(step, clock.now(), numbers, self._columns, arrays)
        if self._copy_interval and step % self._copy_interval == 0:
            self._remember()
        else:
            self.flush()
        return not decision.skip

    def _measure(
        self, gradients: Sequence[torch.Tensor | None], scalars: Mapping[str, Any]
    ) -> tuple[dict[str, Float32Array], dict[str, Any]]:
        """All statistics of this moment: statistic -> float32[L], and the scalars as numbers."""
        present = {i: dense(tensor) for i, tensor in enumerate(gradients) if tensor is not None}
        every = range(len(self._parameters))
        parts = Parts(len(self._parameters), self._parameters[0].device)
        parts.add("grad_norm", list(present), norms(list(present.values())))
        parts.add("weight_norm", every, norms(self._parameters))
        half = [i for i in self._half if i in present]
        if half:
            parts.add("grad_max", half, norms([present[i] for i in half], math.inf))
        if self._copy is not None:
            torch._foreach_sub_(self._copy, self._parameters)
            parts.add("update_norm", every, norms(self._copy))
        return parts.fetch(scalars)

    def _complete(self, update_norm: Float32Array | None) -> None:
        """Report the step before, now that its update is known."""
        if self._held is not None and update_norm is not None:
            arrays = {**self._held.arrays, "update_norm": update_norm}
            self._held = replace(self._held, arrays=arrays)
        self.flush()
        if self._copy_interval != 1:
            self._copy = None

    def _remember(self) -> None:
        if self._copy is None:
            self._copy = [torch.empty_like(parameter) for parameter in self._parameters]
        torch._foreach_copy_(self._copy, self._parameters)


def _learning_rate(optimizer: torch.optim.Optimizer) -> Any:
    """The largest learning rate of all groups; the first one where they are tensors."""
    rates = [group.get("lr") for group in optimizer.param_groups]
    numbers = [rate for rate in rates if isinstance(rate, int | float)]
    return max(numbers) if numbers else next(iter(rates), None)


def _copy_interval(parameters: Tensors) -> int:
    """At every how many steps the update is measured; 0 for never."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    if size > COPY_MAX_BYTES:
        return 0
    return 1 if size <= COPY_EVERY_STEP_BYTES else COPY_SELDOM_STEPS


def _facts(optimizer: torch.optim.Optimizer, copy_interval: int) -> dict[str, object]:
    facts: dict[str, object] = {
        "framework": "pytorch",
        "optimizer": type(optimizer).__name__,
        "update_norm_every": copy_interval,
    }
    betas = optimizer.defaults.get("betas")
    return facts if betas is None else {**facts, "betas": list(betas)}
