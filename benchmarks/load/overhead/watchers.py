"""What watches a job in W4: nobody, clipping as a yardstick, Gradwatch, and peers."""

from __future__ import annotations

import importlib
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Unpack

from torch import Tensor, nn

import gradwatch
from benchmarks.load.overhead.jobs import Job
from gradwatch.watching import WatchOptions

NO_LIMIT = 1e9
BARE, OURS, TORCH = "bare", "gradwatch", "torch"
NORMS = "norms of gradients"


def _nothing() -> None:
    """Hooks into nothing."""


@dataclass(frozen=True)
class Watching:
    """``step`` is called before each update; ``attach`` and ``detach`` around each block of steps.

    ``step`` says whether the update may be made.
    """

    step: Callable[[Tensor], bool]
    attach: Callable[[], object] = _nothing
    detach: Callable[[], object] = _nothing


@dataclass(frozen=True)
class Watcher:
    """A way to watch: what it measures, how to open it on a job, the package that it needs."""

    name: str
    measures: str
    open: Callable[[Job, str], AbstractContextManager[Watching]]
    package: str = TORCH

    @property
    def is_peer(self) -> bool:
        """Whether it is what we compare with."""
        return self.package != TORCH

    @property
    def is_missing(self) -> bool:
        """Whether its package is not installed."""
        return find_spec(self.package) is None


@contextmanager
def _bare(_job: Job, _url: str) -> Iterator[Watching]:
    yield Watching(lambda _: True)


@contextmanager
def _clip(job: Job, _url: str) -> Iterator[Watching]:
    def step(_: Tensor) -> bool:
        nn.utils.clip_grad_norm_(job.parameters, NO_LIMIT)
        return True

    yield Watching(step)


def _gradwatch(
    **options: Unpack[WatchOptions],
) -> Callable[[Job, str], AbstractContextManager[Watching]]:
    @contextmanager
    def opened(job: Job, url: str) -> Iterator[Watching]:
        with gradwatch.init(project="overhead", url=url) as run:
            monitor = run.watch(job.model, job.optimizer, **options)
            yield Watching(lambda loss: monitor.step(loss=loss))
            if run.counts.dropped or run.counts.rejected:
                raise SystemExit(f"reports were lost: {run.counts}")

    return opened


@contextmanager
def _wandb(job: Job, _url: str) -> Iterator[Watching]:
    wandb = importlib.import_module("wandb")
    quiet = wandb.Settings(silent=True, console="off")
    with (
        tempfile.TemporaryDirectory(prefix="gradwatch-wandb-") as folder,
        wandb.init(mode="offline", dir=folder, project="overhead", settings=quiet) as run,
    ):

        def step(loss: Tensor) -> bool:
            run.log({"loss": loss.item()})
            return True

        def attach() -> None:
            run.watch(job.model, log="gradients", log_freq=1)

        yield Watching(step, attach, lambda: run.unwatch(job.model))


@contextmanager
def _tensorboard(job: Job, _url: str) -> Iterator[Watching]:
    writer_type = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    with (
        tempfile.TemporaryDirectory(prefix="gradwatch-tensorboard-") as folder,
        writer_type(folder) as writer,
    ):
        steps = itertools.count()

        def step(loss: Tensor) -> bool:
            number = next(steps)
            writer.add_scalar("loss", loss.item(), number)
            for name, parameter in job.model.named_parameters():
                writer.add_histogram(name, parameter.grad, number)
            return True

        yield Watching(step)


WATCHERS = (
    Watcher(BARE, "nothing", _bare),
    Watcher("clip_grad_norm_", "one norm, and scales all gradients", _clip),
    Watcher("gradwatch, norms", f"{NORMS}, guards updates", _gradwatch(statistics="norms")),
    Watcher(OURS, f"{NORMS}; weights and updates sampled; guards", _gradwatch()),
    Watcher(
        "gradwatch, full",
        "the same; max, mean, rms, zeros, non-finite",
        _gradwatch(statistics="full"),
    ),
    Watcher("gradwatch, level 0", "as gradwatch, without a guard", _gradwatch(autopilot=0)),
    Watcher("W&B watch", "histograms of gradients, loss", _wandb, "wandb"),
    Watcher("TensorBoard", "histograms of gradients, loss", _tensorboard, "tensorboard"),
)
