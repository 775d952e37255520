"""Measures one step of a PyTorch job: norms of gradients, weights and updates, in one transfer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from gradwatch.integrations import full
from gradwatch.integrations.bench import Bench
from gradwatch.integrations.foreach import Parts, Sent, dense, norms
from gradwatch.integrations.pace import Pace
from gradwatch.integrations.shards import Whole, is_sharded
from gradwatch.values import Float32Array
from gradwatch.watching import Means

EVERY_STEP_BYTES = 4 << 20  # up to here every step is measured in full, if that is affordable
SELDOM_STEPS = 8
COPY_MAX_BYTES = 1 << 30  # beyond, a copy of the parameters could take memory the job needs
HALF = (torch.float16, torch.bfloat16)


class Probe:
    """The parameters of one monitor; updates are differences to a copy of them."""

    def __init__(self, parameters: list[torch.Tensor], whole: Whole, *, is_full: bool) -> None:
        self._watched = parameters
        self._whole = whole
        self._is_full = is_full
        self._half = [i for i, tensor in enumerate(parameters) if tensor.dtype in HALF]
        self._copy: list[torch.Tensor] | None = None
        self.copies = whole.bytes(parameters) <= COPY_MAX_BYTES

    @property
    def _parameters(self) -> list[torch.Tensor]:
        """What this process has of them."""
        return self._whole.local(self._watched)

    def measure(
        self,
        gradients: Sequence[torch.Tensor | None],
        scalars: Mapping[str, Any],
        more: Callable[[Parts, Mapping[int, torch.Tensor]], None] | None = None,
        *,
        is_due: bool,
    ) -> Sent:
        """All statistics of this moment and the scalars, to be read when they have come.

        ``is_due``: more than the norms of gradients; ``update_norm`` is that of the step before;
        ``more`` may add to them.
        """
        present = {i: dense(tensor) for i, tensor in enumerate(gradients) if tensor is not None}
        parts = Parts(len(self._watched), self._watched[0].device)
        found = norms(list(present.values()))
        parts.add("grad_norm", list(present), found)
        if is_due:
            self._add_weights(parts)
        if is_due and self._is_full:
            full.add(parts, present, found)
        else:
            self._add_largest(parts, present)
        self._add_updates(parts, is_due=is_due)
        if more is not None:
            more(parts, present)
        return parts.send(scalars)

    def weights(self) -> dict[str, Float32Array]:
        """Norms of the weights as they are now, at once."""
        parts = Parts(len(self._watched), self._watched[0].device)
        self._add_weights(parts)
        return self._whole.joined(parts.fetch({})[0])

    def _add_weights(self, parts: Parts) -> None:
        parameters = self._parameters
        parts.add("weight_norm", range(len(parameters)), norms(parameters))

    def _add_largest(self, parts: Parts, present: Mapping[int, torch.Tensor]) -> None:
        half = [i for i in self._half if i in present and present[i].numel()]
        if half or (self._half and self._whole.is_shared):  # every rank sends the same
            parts.add("grad_max", half, norms([present[i] for i in half], math.inf))

    def _add_updates(self, parts: Parts, *, is_due: bool) -> None:
        """Add the update made since the copy; it is overwritten if another is due, else dropped."""
        if self._copy is None:
            return
        torch._foreach_sub_(self._copy, self._parameters)
        parts.add("update_norm", range(len(self._copy)), norms(self._copy))
        if not is_due:
            self._copy = None

    def remember(self) -> bool:
        """Keep a copy, so that the update of this step is measured; whether that can be."""
        if not self.copies:
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


def pace_of(parameters: Sequence[torch.Tensor], bench: Bench, means: Means) -> Pace:
    """When more than the norms of gradients is measured.

    Not adapted: an interval that the user chose, and that of ranks that measure together.
    """
    is_small = bench.whole.bytes(parameters) <= EVERY_STEP_BYTES
    every = 0 if means.is_lean else means.every or (1 if is_small else SELDOM_STEPS)
    adapts = means.every is None and not bench.whole.is_shared
    return Pace(every, bench.step, adapts=adapts)
