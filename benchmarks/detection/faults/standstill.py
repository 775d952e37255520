"""The learning rate is so low that nothing moves: the net stays what it was at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.detection.fault import Case, Fault


@dataclass(frozen=True)
class LearningRateTooLow(Fault):
    """``factor`` times the learning rate that suits the task, as after a slip of the exponent."""

    id: ClassVar[str] = "learning-rate-too-low"
    causes: ClassVar[tuple[str, ...]] = ("learning-rate-too-low",)
    systemic: ClassVar[bool] = False
    from_start: ClassVar[bool] = True
    harmless: ClassVar[bool] = True
    factor: float = 1e-5

    def rate(self, since: int, rate: float) -> float:
        del since
        return self.factor * rate


CASES = (
    Case("mlp-adam", [LearningRateTooLow()], after=300, tuning=0),
    Case("convnet", [LearningRateTooLow()], after=300, tuning=0),
)
