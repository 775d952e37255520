"""Hugging Face: ``Trainer(callbacks=[GradwatchCallback(run)])`` watches what the Trainer trains."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from transformers import TrainerCallback

from gradwatch.integrations.losses import Losses
from gradwatch.monitor import Monitor
from gradwatch.off import OffMonitor, OffRun
from gradwatch.run import Run
from gradwatch.watching import WatchOptions


class GradwatchCallback(TrainerCallback):  # type: ignore[misc]  # the class is Any to mypy
    """Reports every update of ``train`` and applies the guard, before the gradient is clipped.

    The Trainer clips before it calls anybody. So for the time of a step ``max_grad_norm`` is taken
    from it, and this callback clips to it, after it has measured. Where the parameters are sharded
    (FSDP, DeepSpeed) the Trainer goes on to clip, and what is reported is what it left.

    Args:
        run: From ``gradwatch.init``; it is not finished when ``train`` ends.
        options: Those of ``Run.watch``; the scaler of the Trainer is found.
    """

    def __init__(self, run: Run | OffRun, **options: Unpack[WatchOptions]) -> None:
        super().__init__()
        self._run = run
        self._options = options
        self._monitor: Monitor = OffMonitor()
        self._limit = 0.0
        self._limited: Any = None  # the arguments of the Trainer from which the limit was taken
        self._losses = Losses()

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Watch the model."""
        del args, state, control
        self._give_back()  # of a training that was interrupted
        self._monitor.close()
        optimizer = parts["optimizer"]
        scaler = getattr(optimizer, "scaler", None)
        options: WatchOptions = {"scaler": scaler, **self._options}
        self._monitor = self._run.watch(parts["model"], _inner(optimizer), **options)
        self._losses.follow(parts["model"])

    def on_step_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Take the limit from the Trainer."""
        del state, control, parts
        if args.max_grad_norm and not (args.fsdp or args.deepspeed):
            self._limited, self._limit = args, args.max_grad_norm
            args.max_grad_norm = 0.0

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Measure and judge the gradients, unscaled; then clip them as the Trainer would have."""
        del state
        clips = bool(self._limit)
        self._give_back()
        loss = self._losses.take(args.world_size if args.average_tokens_across_devices else 1)
        if not self._monitor.step(loss=loss, clip_norm=args.max_grad_norm or None):
            parts["optimizer"].zero_grad()  # to None: neither weights nor moments change
        elif clips:
            torch.nn.utils.clip_grad_norm_(parts["model"].parameters(), args.max_grad_norm)
        control.should_training_stop |= self._monitor.stopped

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        """Report the last update; another ``train`` is watched anew."""
        del args, state, control, parts
        self._give_back()
        self._monitor.close()
        self._losses.leave()

    def _give_back(self) -> None:
        """The limit is the Trainer's again; a step may have ended before it was clipped."""
        if self._limit:
            self._limited.max_grad_norm = self._limit
        self._limit, self._limited = 0.0, None


def _inner(optimizer: Any) -> Any:
    """The optimizer of torch inside that of accelerate."""
    return getattr(optimizer, "optimizer", optimizer)
