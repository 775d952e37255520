"""The optimizer's settings go wrong: second moment, clipping, number format, and a silent job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.detection.fault import Case, Fault
from benchmarks.detection.loss_scale import LossScale
from benchmarks.detection.task import Job


@dataclass(frozen=True)
class SecondMoment(Fault):
    """Late in a run with β₂ = .9999 the gradients become ``factor`` times as large.

    The second moment takes 10,000 steps to learn of it; until then the updates are too large.
    """

    id: ClassVar[str] = "adam-second-moment"
    causes: ClassVar[tuple[str, ...]] = ("adam-second-moment", "distribution-shift")
    factor: float

    def begin(self, job: Job) -> None:
        first, old = job.optimizer.defaults["betas"]
        job.optimizer.param_groups[0]["betas"] = first, 0.9999
        for state in job.optimizer.state.values():
            state["exp_avg_sq"] /= 1 - old ** float(state["step"])
            state["step"].fill_(100_000.0)

    def gradients(self, since: int, job: Job) -> None:
        if since >= 0:
            amplify(job, self.factor)


@dataclass(frozen=True)
class ClipTooTight(Fault):
    """The gradient is clipped to next to nothing."""

    id: ClassVar[str] = "clip-too-tight"
    causes: ClassVar[tuple[str, ...]] = ("clip-too-tight",)
    systemic: ClassVar[bool] = False
    harmless: ClassVar[bool] = True
    limit: float = 1e-3

    def begin(self, job: Job) -> None:
        job.clip = self.limit


@dataclass(frozen=True)
class NoClip(Fault):
    """Clipping is switched off in a net that lived by it."""

    id: ClassVar[str] = "clip-missing"
    causes: ClassVar[tuple[str, ...]] = ("clip-missing-or-loose", "explosion-through-time")

    def begin(self, job: Job) -> None:
        job.clip = None


@dataclass(frozen=True)
class Overflow(Fault):
    """A fixed loss scale at which float16 overflows; ``checked``: such updates are skipped."""

    id: ClassVar[str] = "fp16-overflow"
    causes: ClassVar[tuple[str, ...]] = ("fp16-overflow",)
    harmless: ClassVar[bool] = True
    scale: float
    checked: bool

    def begin(self, job: Job) -> None:
        job.scaler = LossScale(self.scale, dynamic=False, checked=self.checked)


@dataclass(frozen=True)
class Underflow(Fault):
    """Gradients in float16 without a loss scale, ``factor`` times as small as usual."""

    id: ClassVar[str] = "fp16-underflow"
    causes: ClassVar[tuple[str, ...]] = ("fp16-underflow",)
    systemic: ClassVar[bool] = False
    from_start: ClassVar[bool] = True
    factor: float

    def begin(self, job: Job) -> None:
        job.scaler = LossScale(1.0, dynamic=False)

    def gradients(self, since: int, job: Job) -> None:
        del since
        amplify(job, self.factor)


@dataclass(frozen=True)
class Silence(Fault):
    """The job hangs: no report ever comes again."""

    id: ClassVar[str] = "silent"
    causes: ClassVar[tuple[str, ...]] = ("stalled-job",)
    repairable: ClassVar[bool] = False
    harmless: ClassVar[bool] = True


def amplify(job: Job, factor: float) -> None:
    for parameter in job.parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor)


CASES = (
    Case("post-norm", [SecondMoment(f) for f in (30, 100)]),
    Case("deep-tanh-20", [SecondMoment(f) for f in (100, 300)]),
    Case("likelihood", [SecondMoment(f) for f in (30, 100)]),
    Case("deep-relu", [ClipTooTight()]),
    Case("convnet", [ClipTooTight()]),
    Case("char-rnn", [NoClip()], test=4),
    Case(
        "mixed-precision",
        [Overflow(2.0**24, True), Overflow(2.0**20, False)],
        after=200,
        tuning=2,
        test=3,
    ),
    Case("mixed-precision", [Underflow(f) for f in (1e-6, 3e-7)], after=300, test=3),
    Case("mlp-adam", [Silence()], after=0),
    Case("char-lstm", [Silence()], after=0),
)
