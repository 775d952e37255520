"""Statistics of a PyTorch model that cost more than norms, measured where they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gradwatch.integrations.foreach import Parts
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.through_time import ThroughTime
from gradwatch.values import Float32Array, missing32
from gradwatch.watching import Means


class OnRequest:
    """Adds to the numbers of a step: ``grad_zero``, ``act_grad_norm``, ``bias_grad_norm``."""

    def __init__(self, model: torch.nn.Module, watched: Sequence[Watched], means: Means) -> None:
        self._wanted = means.on_request
        self._width = len(watched)
        columns = {item.layer.name: i for i, item in enumerate(watched)}
        self._biases = {
            i: columns[bias]
            for name, i in columns.items()
            if (bias := _bias_of(name)) in columns and bias != name
        }
        self._outputs: dict[int, torch.Tensor] = {}
        self._time = None if means.through_time is None else ThroughTime(means.through_time)
        owners = _owners(model, watched) if "act_grad_norm" in self._wanted else {}
        self._hooks = [one.register_forward_hook(self._listen(i)) for one, i in owners.items()]

    def add(self, parts: Parts, gradients: Mapping[int, torch.Tensor]) -> None:
        """Add what was heard and what gradients show, both still on the device."""
        if "act_grad_norm" in self._wanted:
            heard, self._outputs = self._outputs, {}
            parts.add("act_grad_norm", list(heard), list(heard.values()))
        if "grad_zero" in self._wanted:
            zeros = [1.0 - one.count_nonzero() / max(one.numel(), 1) for one in gradients.values()]
            parts.add("grad_zero", list(gradients), zeros)
        if self._time is not None and (curve := self._time.take()) is not None:
            parts.add_profile("time", curve)

    def complete(
        self, arrays: dict[str, Float32Array], curves: dict[str, list[float]], loss_scale: float
    ) -> None:
        """Add what follows from other statistics; what was heard in backward is unscaled."""
        if "act_grad_norm" in arrays:
            arrays["act_grad_norm"] /= np.float32(loss_scale)
        for axis, curve in curves.items():
            curves[axis] = [value / loss_scale for value in curve]
        if "bias_grad_norm" in self._wanted:
            values = missing32(self._width)
            for weight, bias in self._biases.items():
                values[weight] = arrays["grad_norm"][bias]
            arrays["bias_grad_norm"] = values

    def leave(self) -> None:
        """Listen no more."""
        for hook in self._hooks:
            hook.remove()
        if self._time is not None:
            self._time.leave()

    def _listen(self, i: int) -> Callable[..., None]:
        def note(gradient: torch.Tensor) -> None:
            self._outputs[i] = torch.linalg.vector_norm(gradient.detach(), dtype=torch.float32)

        def forwarded(module: torch.nn.Module, _: object, output: Any) -> None:
            single: Any = output[0] if isinstance(output, tuple) else output
            if module.training and getattr(single, "requires_grad", False):
                single.register_hook(note)

        return forwarded


def _bias_of(name: str) -> str:
    """What the bias is called that goes with a weight."""
    head, _, last = name.rpartition(".")
    return f"{head}.{last.replace('weight', 'bias')}" if head else last.replace("weight", "bias")


def _owners(model: torch.nn.Module, watched: Sequence[Watched]) -> dict[torch.nn.Module, int]:
    """Module -> the column of its first watched weight."""
    columns = {id(item.parameter): i for i, item in enumerate(watched)}
    owners: dict[torch.nn.Module, int] = {}
    for module in model.modules():
        own = [columns[id(one)] for one in module.parameters(recurse=False) if id(one) in columns]
        if own:
            owners[module] = own[0]
    return owners
