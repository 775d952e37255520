"""What the two jobs of the demo came to, and whether that is what the demo claims."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradwatch_service.demo.curves import best_step, first_nonfinite, level, ruin_step
from gradwatch_service.demo.job import Course, Heard

LEAD_STEPS = 10
SERIOUS = ("error", "critical")


@dataclass(frozen=True, slots=True)
class Fate:
    """How the job without help went: its best level, and the steps at which things went wrong."""

    best_step: int
    best: float
    ruin_step: int | None
    nonfinite_step: int | None
    alert: Heard | None

    @property
    def lead_steps(self) -> int | None:
        """Steps from when the job had heard of the alert to when it was ruined."""
        if self.ruin_step is None or self.alert is None:
            return None
        return self.ruin_step - self.alert.step


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing the demo promises to show, and whether it did."""

    text: str
    holds: bool


def fate_of(course: Course) -> Fate:
    """Read the course of the job without help."""
    ruined = ruin_step(course.loss)
    at = best_step(course.loss, ruined)
    serious = [one for one in course.heard.values() if one.alert["severity"] in SERIOUS]
    return Fate(
        best_step=at,
        best=float(level(course.loss)[at]),
        ruin_step=ruined,
        nonfinite_step=first_nonfinite(course.loss),
        alert=min(serious, key=lambda one: one.alert["opened_step"], default=None),
    )


def final_level(course: Course) -> float:
    """The loss a job ended with: the median of its last 16 steps."""
    return float(level(course.loss)[-1])


def claims(fate: Fate, helped: Course, steps: int) -> list[Claim]:
    """What the demo promises, checked."""
    lead, final = fate.lead_steps, final_level(helped)
    reached = len(helped.loss) == steps and math.isfinite(final)
    return [
        Claim("Without help the job was ruined.", fate.ruin_step is not None),
        Claim(
            f"Its alert came at least {LEAD_STEPS} steps before that, with a numbered remedy.",
            lead is not None and lead >= LEAD_STEPS and _has_remedy(fate.alert),
        ),
        Claim(f"With help the same job trained on through all {steps} steps.", reached),
        Claim(
            "Its final loss is at least as good as the best the other one ever had.",
            final <= fate.best,
        ),
    ]


def _has_remedy(heard: Heard | None) -> bool:
    return heard is not None and any(advice["params"] for advice in heard.alert["advice"])
