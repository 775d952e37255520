"""How the learning rate differs from its schedule: factor, cap, warm-up, and the way back; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

RELEASE_STEPS = 512


@dataclass(frozen=True, slots=True)
class Change:
    """One action on the rate: min(rate · factor, cap), rising from ``start`` over ``steps``.

    The warm-up begins at step ``since``; without one ``start`` is 1.
    """

    key: str
    factor: float = 1.0
    cap: float = math.inf
    since: int = 0
    steps: int = 1
    start: float = 1.0

    def rate(self, before: float, step: int) -> float:
        """The rate at a step, in place of ``before``."""
        done = min(max(step - self.since, 0) / self.steps, 1.0)
        return min(before * self.factor, self.cap) * (self.start + (1.0 - self.start) * done)


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes in force, in the order in which they were made."""

    changes: tuple[Change, ...] = ()
    released: int | None = None

    def rate(self, scheduled: float, step: int) -> float:
        """The rate in place of the scheduled one.

        Released at step r, it is held^(1-x) · scheduled^x with x = (step - r) / 512: a slow return,
        so that trouble shows long before the old rate is reached.
        """
        held = scheduled
        for change in self.changes:
            held = change.rate(held, step)
        if self.released is None or held <= 0.0 or scheduled <= 0.0:
            return held
        way = min(max(step - self.released, 0) / RELEASE_STEPS, 1.0)
        return (
            scheduled
            if way == 1.0
            else math.exp((1.0 - way) * math.log(held) + way * math.log(scheduled))
        )

    def factor(self, top: float, step: int) -> float:
        """By what to multiply the rate of every parameter group, where ``top`` is the highest.

        One factor for all: groups keep their proportions, also under a cap.
        """
        return self.rate(top, step) / top if top > 0.0 else 1.0

    def without(self, key: str) -> Plan:
        """The plan without the change of that key."""
        return Plan(tuple(change for change in self.changes if change.key != key), self.released)
