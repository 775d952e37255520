"""Keras on PyTorch: gradients are measured and judged as in a plain loop of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from gradwatch.integrations.bench import Bench
from gradwatch.integrations.keras_layers import PARTS_ONLY, fits
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.pytorch import Monitor
from gradwatch.run import Run
from gradwatch.watching import Means


class Link:
    """Stands in for ``apply`` of an optimizer."""

    def __init__(self, run: Run, optimizer: Any, watched: Sequence[Watched], *, acts: bool) -> None:
        self._run = run
        self._optimizer = optimizer
        self._update = optimizer.apply
        self._loss: torch.Tensor | None = None
        self._variables = [item.parameter for item in watched]
        tensors = [replace(item, parameter=item.parameter.value) for item in watched]
        self._parameters = [item.parameter for item in tensors]
        stand_in = torch.optim.SGD(self._parameters)  # it never makes a step
        means = Means(level=int(acts))
        bench = Bench.of(tensors, stand_in, means, run.next_step)
        self._monitor = Monitor(run, tensors, bench, means)
        run.add_watcher(self._monitor)

    def hearing(self, scale_loss: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``scale_loss`` that also remembers the loss."""

        def heard(loss: Any) -> Any:
            self._loss = loss.detach()
            return scale_loss(loss)

        return heard

    def apply(self, grads: Sequence[Any], trainable_variables: Any = None) -> None:
        """Measure the gradients, and make the update unless the guard refuses it."""
        loss, self._loss = self._loss, None
        if not fits(self._variables, grads, trainable_variables):
            self._run.warn("keras", PARTS_ONLY)
            self._update(grads, trainable_variables)
            return
        for parameter, gradient in zip(self._parameters, grads, strict=True):
            parameter.grad = gradient
        rate = self._optimizer.learning_rate
        limit = self._optimizer.global_clipnorm
        if self._monitor.step(loss=loss, lr=rate.value, clip_norm=limit):
            self._update([parameter.grad for parameter in self._parameters], trainable_variables)

    def close(self) -> None:
        """Report the last update, and watch no more."""
        self._monitor.close()
