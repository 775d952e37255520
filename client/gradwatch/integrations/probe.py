"""Measures one step of a PyTorch job: norms of gradients, weights and updates, in one transfer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gradwatch.integrations.foreach import Parts, Sent, Tensors, dense, norms

COPY_EVERY_STEP_BYTES = 4 << 20  # up to here the update of every step is measured
COPY_MAX_BYTES = 1 << 30  # beyond, a copy of the parameters could take memory the job needs
COPY_SELDOM_STEPS = 10
HALF = (torch.float16, torch.bfloat16)


class Probe:
    """The parameters of one monitor; updates are differences to a copy of them."""

    def __init__(self, parameters: list[torch.Tensor]) -> None:
        self._parameters = parameters
        self._half = [i for i, tensor in enumerate(parameters) if tensor.dtype in HALF]
        self._copy: list[torch.Tensor] | None = None
        self.copy_interval = _copy_interval(parameters)

    def measure(self, gradients: Sequence[torch.Tensor | None], scalars: Mapping[str, Any]) -> Sent:
        """All statistics of this moment and the scalars, to be read when they have come.

        ``update_norm`` is that of the step before.
        """
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
        if self.copy_interval != 1:
            self._copy = None
        return parts.send(scalars)

    def remember(self, step: int) -> bool:
        """Keep a copy if the update of this step is to be measured; whether it is."""
        if not self.copy_interval or step % self.copy_interval:
            return False
        if self._copy is None:
            self._copy = [torch.empty_like(parameter) for parameter in self._parameters]
        torch._foreach_copy_(self._copy, self._parameters)
        return True

    def forget(self) -> None:
        """Drop the copy."""
        self._copy = None


def _copy_interval(parameters: Tensors) -> int:
    """At every how many steps the update is measured; 0 for never."""
    size = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    if size > COPY_MAX_BYTES:
        return 0
    return 1 if size <= COPY_EVERY_STEP_BYTES else COPY_SELDOM_STEPS
