"""Gradients of single layers made smaller for a while, before they are measured and clipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Damper:
    """Multiply a gradient by ``alpha`` for ``steps`` steps, then ramp to 1 over ``ramp_steps``."""

    parameter: Any
    since: int
    alpha: float
    steps: int
    ramp_steps: int

    def factor(self, step: int) -> float:
        """The factor of a step."""
        over = step - self.since - self.steps
        if over < 0:
            return self.alpha
        return min(1.0, self.alpha + (1.0 - self.alpha) * (over + 1) / (self.ramp_steps + 1))


class Damping:
    """All dampers in force. What is reported afterwards is the gradient that the optimizer gets."""

    def __init__(self) -> None:
        self._dampers: dict[str, Damper] = {}

    def put(self, key: str, damper: Damper) -> None:
        """Begin to damp."""
        self._dampers[key] = damper

    def drop(self, key: str) -> None:
        """Damp no more."""
        self._dampers.pop(key, None)

    def apply(self, step: int) -> None:
        """Multiply the gradients in place; forget dampers whose ramp is over."""
        for key, damper in list(self._dampers.items()):
            factor = damper.factor(step)
            if factor >= 1.0:
                self.drop(key)
            elif damper.parameter.grad is not None:
                damper.parameter.grad.mul_(factor)
