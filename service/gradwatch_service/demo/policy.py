"""What a job of the demo does about the service's answers: nothing, or what its user allowed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import gradwatch
from gradwatch.guard import PROCEED
from gradwatch.off import OffRun

Advice: TypeAlias = Mapping[str, Any]
Alert: TypeAlias = Mapping[str, Any]

ALLOWED_CLASS, CONFIDENCE, REST_STEPS = 2, 0.7, 64  # which advice is followed without a person


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train on; advice changes it. ``applied``: (step, title) of the advice followed.

    ``horizon`` bounds the time steps of the backward pass, ``rate_factor`` and ``rate_limit`` the
    learning rate.
    """

    horizon: int
    rate_factor: float = 1.0
    rate_limit: float = math.inf
    followed: frozenset[str] = frozenset()
    applied: tuple[tuple[int, str], ...] = ()

    def rate(self, scheduled: float) -> float:
        """The learning rate in place of the scheduled one."""
        return min(scheduled * self.rate_factor, self.rate_limit)


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides: about each update, and about the plan each time the service was heard."""

    decide: Callable[[float, int], gradwatch.Decision]
    adapt: Callable[[Plan, int], Plan]


ALONE = Policy(lambda _norm, _step: PROCEED, lambda plan, _step: plan)


def guided(run: gradwatch.Run | OffRun) -> Policy:
    """Apply the armed guard, and advice of class 2, as the user of this job allowed."""
    return Policy(run.decide, lambda plan, step: follow(plan, run.advice, step))


def follow(plan: Plan, advice: Iterable[Advice], step: int) -> Plan:
    """The plan with the best advice that may be applied now, at most one piece in 64 steps.

    Advice of class 1 needs no plan: the armed guard clips and skips step by step.
    """
    if plan.applied and step - plan.applied[-1][0] < REST_STEPS:
        return plan
    for one in advice:
        allowed = one["class"] == ALLOWED_CLASS and one["confidence"] >= CONFIDENCE
        changed = _changed(plan, one) if allowed and one["action"] not in plan.followed else None
        if changed is not None:
            done = (step + 1, str(one["title"]))
            followed = plan.followed | {one["action"]}
            return replace(changed, followed=followed, applied=(*plan.applied, done))
    return plan


def _changed(plan: Plan, advice: Advice) -> Plan | None:
    params = advice["params"]
    match advice["action"]:
        case "truncate_bptt":
            return replace(plan, horizon=min(plan.horizon, int(params["time_steps"])))
        case "scale_lr":
            return replace(plan, rate_factor=plan.rate_factor * float(params["factor"]))
        case "cap_lr":
            return replace(plan, rate_limit=float(params["max_lr"]))
        case _:
            return None
