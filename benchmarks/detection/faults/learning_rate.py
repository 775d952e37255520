"""The learning rate is too high: from the start, after a jump, on a ramp, by its schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.detection.fault import Case, Fault

WARM_UP = 300  # of the task warmed-up


@dataclass(frozen=True)
class LearningRateTooHigh(Fault):
    """``factor`` times the learning rate that suits the task."""

    id: ClassVar[str] = "learning-rate-too-high"
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-too-high",)
    from_start: ClassVar[bool] = True
    factor: float

    def rate(self, since: int, rate: float) -> float:
        del since
        return self.factor * rate


@dataclass(frozen=True)
class LearningRateJump(Fault):
    """From one step to the next ``factor`` times as high, for good."""

    id: ClassVar[str] = "learning-rate-jump"
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-jump", "learning-rate-too-high")
    factor: float

    def rate(self, since: int, rate: float) -> float:
        return self.factor * rate if since >= 0 else rate


@dataclass(frozen=True)
class LearningRateRamp(Fault):
    """Rises by ``growth`` every step."""

    id: ClassVar[str] = "learning-rate-ramp"
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-too-high",)
    gradual: ClassVar[bool] = True
    growth: float = 0.01

    def rate(self, since: int, rate: float) -> float:
        return rate * (1 + self.growth) ** max(since, 0)


@dataclass(frozen=True)
class RisingSchedule(Fault):
    """A cycle that goes up to ``factor`` times the rate within 400 steps, and down again."""

    id: ClassVar[str] = "rising-schedule"
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-too-high",)
    gradual: ClassVar[bool] = True
    factor: float

    def rate(self, since: int, rate: float) -> float:
        height = max(0.0, 1 - abs(since / 400 - 1))
        return rate * (1 + (self.factor - 1) * height)


@dataclass(frozen=True)
class NoWarmUp(Fault):
    """The ``peak`` of the schedule from the first step on."""

    id: ClassVar[str] = "no-warm-up"
    causes: ClassVar[tuple[str, ...]] = ("no-warm-up", "learning-rate-too-high")
    from_start: ClassVar[bool] = True
    peak: float

    def rate(self, since: int, rate: float) -> float:
        return self.peak if since < WARM_UP else rate


def too_high(*factors: float) -> list[LearningRateTooHigh]:
    return [LearningRateTooHigh(factor) for factor in factors]


def jumps(*factors: float) -> list[LearningRateJump]:
    return [LearningRateJump(factor) for factor in factors]


CASES = (
    Case("mlp-adam", too_high(30, 100, 300)),
    Case("deep-relu", too_high(10, 30, 100)),
    Case("char-lstm", too_high(60, 100)),
    Case("transformer", too_high(60, 100)),
    Case("convnet", too_high(10, 30)),
    Case("mlp-adam", jumps(20, 60, 40)),
    Case("deep-relu", jumps(10, 30, 60)),
    Case("char-gru", jumps(15, 60, 30)),
    Case("transformer", jumps(30, 60, 45)),
    Case("variational", jumps(40, 60)),
    Case("mlp-adam", [LearningRateRamp()], after=600),
    Case("char-lstm", [LearningRateRamp()], after=500),
    Case("transformer", [LearningRateRamp()], after=500),
    Case("contrastive", [LearningRateRamp()], after=600),
    Case("one-cycle", [RisingSchedule(f) for f in (8, 20)], after=500, tuning=0),
    Case("convnet", [RisingSchedule(f) for f in (20, 40)], after=500, tuning=0),
    Case("warmed-up", [NoWarmUp(p) for p in (0.03, 0.06)], tuning=2, test=3),
)
