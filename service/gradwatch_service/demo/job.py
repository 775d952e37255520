"""The training job of the demo: plain SGD on the network, reporting every step to Gradwatch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

import gradwatch
from gradwatch.guard import PROCEED
from gradwatch.off import OffRun
from gradwatch_service.demo.rnn import (
    Gradients,
    Task,
    Weights,
    describe,
    gradients_of,
    initial_weights,
    norm,
)

Run: TypeAlias = gradwatch.Run | OffRun
Advice: TypeAlias = Mapping[str, Any]

FIRST_RATE, DOUBLING_STEPS = 5e-5, 60
WARM, ANNEALING = 260, 500  # steps: the rate rises until WARM and falls from ANNEALING on
# The net steps far faster than a real one: waiting for the service this often keeps advice current.
FLUSH_STEPS = 10
GIVE_UP_AFTER = 3  # losses in a row that are no number
ALLOWED_CLASS, CONFIDENCE, REST_STEPS = 2, 0.7, 64  # which advice is followed without a person


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the outcome depends on, but for the help."""

    seed: int = 11
    steps: int = 600
    hidden: int = 40
    task: Task = field(default_factory=Task)

    def config(self) -> dict[str, object]:
        """What Gradwatch keeps with the run."""
        return {
            "optimizer": "sgd",
            "framework": "numpy",
            "seed": self.seed,
            "hidden": self.hidden,
            "sequence_length": self.task.length,
            "batch_size": self.task.batch,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What advice has changed so far; ``applied`` are (step, title)."""

    horizon: int
    rate_factor: float = 1.0
    rate_limit: float = math.inf
    followed: frozenset[str] = frozenset()
    applied: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides: about each update, and about the plan whenever the service was heard."""

    decide: Callable[[float, int], gradwatch.Decision]
    adapt: Callable[[Plan, int], Plan]


@dataclass(frozen=True, slots=True)
class Curve:
    """How a job went, step by step, and what was done about it."""

    loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clipped: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    applied: tuple[tuple[int, str], ...] = ()


ALONE = Policy(lambda _norm, _step: PROCEED, lambda plan, _step: plan)


def guided(run: Run) -> Policy:
    """Apply the armed guard, and advice up to class 2, as the user of this job allowed."""
    return Policy(run.decide, lambda plan, step: follow(plan, run.advice, step))


def follow(plan: Plan, advice: Iterable[Advice], step: int) -> Plan:
    """The plan with the best advice that may be applied now; one piece in 64 steps.

    Class 1 is the guard, which is applied step by step.
    """
    if plan.applied and step - plan.applied[-1][0] < REST_STEPS:
        return plan
    for one in advice:
        changed = _changed(plan, one)
        if changed is not None:
            return replace(
                changed,
                followed=plan.followed | {one["action"]},
                applied=(*plan.applied, (step + 1, one["title"])),
            )
    return plan


def _changed(plan: Plan, advice: Advice) -> Plan | None:
    allowed = advice["class"] == ALLOWED_CLASS and advice["confidence"] >= CONFIDENCE
    if not allowed or advice["action"] in plan.followed:
        return None
    params = advice["params"]
    match advice["action"]:
        case "truncate_bptt":
            return replace(plan, horizon=min(plan.horizon, params["time_steps"]))
        case "scale_lr":
            return replace(plan, rate_factor=plan.rate_factor * params["factor"])
        case "cap_lr":
            return replace(plan, rate_limit=params["max_lr"])
    return None


def learning_rate(step: int, steps: int) -> float:
    """A warm-up that doubles the rate every 60 steps and ends too high, then a cosine to zero."""
    rate = FIRST_RATE * 2.0 ** (min(step, WARM) / DOUBLING_STEPS)
    left = min(1.0, (steps - step) / (steps - ANNEALING))
    return rate * 0.5 * (1 - math.cos(math.pi * left))


def train(settings: Settings, run: Run, policy: Policy) -> Curve:
    """Train to the last step, or until the loss is no number any more."""
    curve, plan = Curve(), Plan(settings.task.length)
    weights = initial_weights(settings.seed, settings.hidden)
    for step in range(settings.steps):
        gradients = gradients_of(weights, settings.task.draw(settings.seed, step), plan.horizon)
        decision = policy.decide(gradients.norm, step)
        scheduled = learning_rate(step, settings.steps) * plan.rate_factor
        rate = min(scheduled, plan.rate_limit)
        changed = updated(weights, gradients, 0.0 if decision.skip else rate * decision.clip)
        run.log(step, **report(gradients, weights, changed, rate))
        _note(curve, gradients, decision, step)
        weights = changed
        if (step + 1) % FLUSH_STEPS == 0:
            run.flush()
            plan = policy.adapt(plan, step)
        if not any(map(math.isfinite, curve.loss[-GIVE_UP_AFTER:])):
            break
    return replace(curve, applied=plan.applied)


def _note(curve: Curve, gradients: Gradients, decision: gradwatch.Decision, step: int) -> None:
    curve.loss.append(gradients.loss)
    curve.grad_norm.append(gradients.norm)
    if decision.skip:
        curve.skipped.append(step)
    elif decision.clip < 1:
        curve.clipped.append(step)


def updated(weights: Weights, gradients: Gradients, rate: float) -> Weights:
    """The weights after one step of gradient descent; the same ones if the rate is 0."""
    if rate == 0:
        return weights
    with np.errstate(over="ignore", invalid="ignore"):
        return {
            name: weight - np.float32(rate) * gradients.by_layer[name]
            for name, weight in weights.items()
        }


def report(gradients: Gradients, weights: Weights, changed: Weights, rate: float) -> dict[str, Any]:
    """What ``run.log`` is told about a step."""
    with np.errstate(over="ignore", invalid="ignore"):
        layers = {
            name: {
                "grad_norm": norm(gradients.by_layer[name]),
                "weight_norm": norm(weight),
                "update_norm": norm(changed[name] - weight),
            }
            for name, weight in weights.items()
        }
    return {
        "loss": gradients.loss,
        "lr": rate,
        "grad_norm": gradients.norm,
        "layers": layers,
        "profiles": {"time": gradients.through_time},
    }


def start(settings: Settings, name: str, url: str) -> Run:
    """Begin to report a job of these settings to the service at ``url``."""
    weights = initial_weights(settings.seed, settings.hidden)
    return gradwatch.init(
        "demo",
        name,
        settings.config(),
        url=url,
        mode="online",
        layers=describe(weights),
    )
