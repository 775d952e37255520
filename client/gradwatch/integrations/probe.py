"""Measures one step of a PyTorch job: norms of gradients, weights and updates, in one transfer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gradwatch.integrations.foreach import Parts, Sent, dense, norms
from gradwatch.integrations.shards import WHOLE, Whole, is_sharded

COPY_EVERY_STEP_BYTES = 4 << 20  # up to here the update of every step is measured
COPY_MAX_BYTES = 1 << 30  # beyond, a copy of the parameters could take memory the job needs
COPY_SELDOM_STEPS = 10
HALF = (torch.float16, torch.bfloat16)


class Probe:
    """The parameters of one monitor; updates are differences to a copy of them."""

    def __init__(self, parameters: list[torch.Tensor], whole: Whole = WHOLE) -> None:
        self._watched = parameters
        self._whole = whole
        self._half = [i for i, tensor in enumerate(parameters) if tensor.dtype in HALF]
        self._copy: list[torch.Tensor] | None = None
        self.copy_interval = _copy_interval(whole.bytes(parameters))

    @property
    def _parameters(self) -> list[torch.Tensor]:
        """What this process has of them."""
        return self._whole.local(self._watched)

    def measure(
        self,
        gradients: Sequence[torch.Tensor | None],
        scalars: Mapping[str, Any],
        more: Callable[[Parts, Mapping[int, torch.Tensor]], None] | None = None,
    ) -> Sent:
        """All statistics of this moment and the scalars, to be read when they have come.

        ``update_norm`` is that of the step before; ``more`` may add to them.
        """
        parameters = self._parameters
        present = {i: dense(tensor) for i, tensor in enumerate(gradients) if tensor is not None}
        every = range(len(parameters))
        parts = Parts(len(parameters), parameters[0].device)
        parts.add("grad_norm", list(present), norms(list(present.values())))
        parts.add("weight_norm", every, norms(parameters))
        half = [i for i in self._half if i in present and present[i].numel()]
        if half or (self._half and self._whole.is_shared):  # every rank sends the same
            parts.add("grad_max", half, norms([present[i] for i in half], math.inf))
        if self._copy is not None:
            torch._foreach_sub_(self._copy, parameters)
            parts.add("update_norm", every, norms(self._copy))
        if self.copy_interval != 1:
            self._copy = None
        if more is not None:
            more(parts, present)
        return parts.send(scalars)

    def remember(self, step: int) -> bool:
        """Keep a copy if the update of this step is to be measured; whether it is."""
        if not self.copy_interval or step % self.copy_interval:
            return False
        parameters = self._parameters
        if self._copy is None:
            self._copy = [torch.empty_like(parameter) for parameter in parameters]
        torch._foreach_copy_(self._copy, parameters)
        return True

    def forget(self) -> None:
        """Drop the copy."""
        self._copy = None


def is_measurable(parameter: torch.Tensor) -> bool:
    """Whether the kernels can handle it: dense numbers on a device, perhaps sharded."""
    plain = type(parameter) in (torch.nn.Parameter, torch.Tensor) or is_sharded(parameter)
    strided = parameter.layout is torch.strided and parameter.device.type != "meta"
    return plain and strided and parameter.is_floating_point()


def _copy_interval(size: int) -> int:
    """At every how many steps the update of so many bytes is measured; 0 for never."""
    if size > COPY_MAX_BYTES:
        return 0
    return 1 if size <= COPY_EVERY_STEP_BYTES else COPY_SELDOM_STEPS
