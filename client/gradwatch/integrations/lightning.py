"""Lightning: ``Trainer(callbacks=[GradwatchCallback(run)])`` watches what the trainer trains."""

from __future__ import annotations

from typing import Any, Unpack

import torch

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    from pytorch_lightning.callbacks import Callback

from gradwatch.monitor import Monitor
from gradwatch.notices import logger
from gradwatch.off import OffMonitor, OffRun
from gradwatch.run import Run
from gradwatch.watching import WatchOptions


class GradwatchCallback(Callback):  # type: ignore[misc]  # the class is Any to mypy
    """Reports every update of ``fit`` and applies the guard, before Lightning clips.

    Args:
        run: From ``gradwatch.init``; it is not finished when ``fit`` ends.
        options: Those of ``Run.watch``; the scaler of the trainer is found.
    """

    def __init__(self, run: Run | OffRun, **options: Unpack[WatchOptions]) -> None:
        super().__init__()
        self._run = run
        self._options = options
        self._monitor: Monitor = OffMonitor()
        self._optimizer: Any = None
        self._loss: torch.Tensor | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Forget a ``fit`` that was interrupted."""
        self.on_train_end(trainer, pl_module)

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: torch.Tensor) -> None:
        """Add up the loss: each part of an accumulated batch is already divided by their number."""
        del pl_module
        scaler = _scaler(trainer)
        scale = 1.0 if scaler is None else scaler.scale(loss.new_ones(()))  # fetches nothing
        part = loss.detach() / scale
        self._loss = part if self._loss is None else self._loss + part

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure and judge the gradients, unscaled and not yet clipped."""
        loss, self._loss = self._loss, None
        if self._optimizer is None:
            self._watch(trainer, pl_module)
        if optimizer is not self._optimizer:
            return
        if not self._monitor.step(loss=loss, clip_norm=_clip_norm(trainer)):
            optimizer.zero_grad()  # to None: without gradients neither weights nor moments change
        trainer.should_stop |= self._monitor.stopped

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Report the last update; another ``fit`` is watched anew."""
        del trainer, pl_module
        self._monitor.close()
        self._optimizer = self._loss = None

    def _watch(self, trainer: Any, model: Any) -> None:
        self._optimizer = trainer.optimizers[0]
        if len(trainer.optimizers) > 1:
            logger.warning("gradwatch: of several optimizers only the first one is watched")
        options: WatchOptions = {"scaler": _scaler(trainer), **self._options}
        self._monitor = self._run.watch(model, self._optimizer, **options)


def _scaler(trainer: Any) -> Any:
    return getattr(trainer.precision_plugin, "scaler", None)


def _clip_norm(trainer: Any) -> float | None:
    """The limit to which Lightning clips afterwards, if that is a limit of the norm."""
    by_norm = trainer.gradient_clip_algorithm in (None, "norm")
    return trainer.gradient_clip_val if by_norm and trainer.gradient_clip_val else None
