"""The learning rate of an optimizer held away from its schedule, by the plan of the autopilot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gradwatch.autopilot.rates import Change, Plan
from gradwatch.integrations.overlay import Groups, Overlay
from gradwatch.values import as_float

NAME = "lr"


class Rate:
    """The plan in force, and the step for which it is asked."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._plan = Plan()
        self.step = 0

    def effective(self, scheduled: float) -> float:
        """The highest learning rate in place of the highest scheduled one."""
        return self._plan.rate(scheduled, self.step)

    def add(self, change: Change) -> bool:
        """Change the rate from now on; ends a release. False if it cannot be."""
        return self._follow(Plan((*self._plan.changes, change)))

    def remove(self, key: str) -> None:
        """Take one change back."""
        self._follow(self._plan.without(key))

    def release(self, *, is_released: bool) -> None:
        """Begin the slow return to the schedule, or end it and hold the rate again."""
        released = self.step if is_released else None
        self._follow(replace(self._plan, released=released))

    def forget(self) -> None:
        """Follow the schedule."""
        self._follow(Plan())

    def _follow(self, plan: Plan) -> bool:
        if plan.changes and not (self._has_rates() and self._overlay.put(NAME, self._scaled)):
            return False
        if not plan.changes:
            self._overlay.drop(NAME)
        self._plan = plan
        return True

    def _has_rates(self) -> bool:
        """Whether every group has a rate; some optimizers find their own, and say None."""
        return all(as_float(group.get(NAME)) is not None for group in self._overlay.groups)

    def _scaled(self, groups: Groups) -> list[dict[str, Any]]:
        factor = self._plan.factor(max(float(group[NAME]) for group in groups), self.step)
        return [{} if factor == 1.0 else {NAME: group[NAME] * factor} for group in groups]
