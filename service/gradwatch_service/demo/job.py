"""The training job of the demo: plain SGD on the network, reporting every step to Gradwatch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

import gradwatch
from gradwatch.off import OffRun
from gradwatch_service.demo.policy import Alert, Plan, Policy
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

FIRST_RATE, DOUBLING_STEPS = 5e-5, 60
WARM, ANNEALING = 260, 500  # the rate rises until step WARM, falls from step ANNEALING on
# The net steps far faster than a real one: waiting for the service this often keeps advice current.
FLUSH_STEPS = 10
GIVE_UP_AFTER = 3  # losses in a row that are no number


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the outcome depends on, but for the help."""

    seed: int = 1
    steps: int = 600
    hidden: int = 40
    task: Task = field(default_factory=Task)


@dataclass(frozen=True, slots=True)
class Heard:
    """An alert as the job first heard of it, after it had reported ``step``."""

    step: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class Course:
    """How a job went, step by step, what it heard and what it did about it."""

    loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clipped: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    heard: dict[str, Heard] = field(default_factory=dict)
    applied: tuple[tuple[int, str], ...] = ()


def start(settings: Settings, name: str, url: str) -> Run:
    """Begin to report a job with these settings to the service at ``url``."""
    config = {
        "optimizer": "sgd",
        "framework": "numpy",
        "seed": settings.seed,
        "hidden": settings.hidden,
        "sequence_length": settings.task.length,
        "batch_size": settings.task.batch,
    }
    layers = describe(initial_weights(settings.seed, settings.hidden))
    return gradwatch.init("demo", name, config, url=url, mode="online", layers=layers)


def learning_rate(step: int, steps: int) -> float:
    """A warm-up that doubles the rate every 60 steps and ends too high, then a cosine to zero."""
    rate = FIRST_RATE * math.exp2(min(step, WARM) / DOUBLING_STEPS)
    left = min(1.0, (steps - step) / (steps - ANNEALING))
    return rate * 0.5 * (1.0 - math.cos(math.pi * left))


def train(settings: Settings, run: Run, policy: Policy) -> Course:
    """Train to the last step, or until the loss is no number any more."""
    course, plan = Course(), Plan(settings.task.length)
    weights = initial_weights(settings.seed, settings.hidden)
    for step in range(settings.steps):
        gradients = gradients_of(weights, settings.task.draw(settings.seed, step), plan.horizon)
        decision = policy.decide(gradients.norm, step)
        rate = plan.rate(learning_rate(step, settings.steps))
        changed = updated(weights, gradients, 0.0 if decision.skip else rate * decision.clip)
        run.log(step, **report(gradients, weights, changed, rate))
        _note(course, gradients, decision, step)
        weights = changed
        if (step + 1) % FLUSH_STEPS == 0:
            plan = _listen(course, run, policy, plan)
        if not any(map(math.isfinite, course.loss[-GIVE_UP_AFTER:])):
            break
    return replace(course, applied=plan.applied)


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


def _note(course: Course, gradients: Gradients, decision: gradwatch.Decision, step: int) -> None:
    course.loss.append(gradients.loss)
    course.grad_norm.append(gradients.norm)
    if decision.skip:
        course.skipped.append(step)
    elif decision.clip < 1:
        course.clipped.append(step)


def _listen(course: Course, run: Run, policy: Policy, plan: Plan) -> Plan:
    """Wait for the answer to all reports so far; note new alerts, and what they change."""
    run.flush()
    step = len(course.loss) - 1
    for alert in run.alerts:
        if alert["state"] == "firing":
            course.heard.setdefault(alert["id"], Heard(step, alert))
    changed = policy.adapt(plan, step)
    for number, title in changed.applied[len(plan.applied) :]:
        run.event("advice", number, text=title, outcome="applied")
    return changed
