"""A training job in plain numpy that reports as told: ``python -m tests.reliability.training_job``.

It prints as JSON how many steps it made, the weights it ended with, to the last bit, where its
reports are, and when it came to its end.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

import gradwatch
from tests.reliability.counts import times

STEPS = times(500, 2_000)
LEARNING_RATE = 0.05


class Unprintable:
    """An argument that defends itself."""

    def __float__(self) -> float:
        raise RuntimeError("not a number")

    def __index__(self) -> int:
        raise RuntimeError("not a step")

    def __repr__(self) -> str:
        raise RuntimeError("not to be shown")


def silent(run: Any, step: int, loss: float, norm: float) -> None:
    """What every job is compared with: nothing is reported."""
    del run, step, loss, norm


def plain(run: Any, step: int, loss: float, norm: float) -> None:
    run.log(step, loss=loss, grad_norm=norm, layers={"fc": {"grad_norm": norm}})
    run.decide(norm, step)


def all_nan(run: Any, step: int, loss: float, norm: float) -> None:
    del loss, norm
    values = {"grad_norm": math.nan, "weight_norm": math.inf, "update_norm": -math.inf}
    run.log(step, loss=math.nan, layers={"fc": values}, profiles={"time": [math.nan] * 4})
    run.decide(math.nan, step)


def malformed(run: Any, step: int, loss: float, norm: float) -> None:
    run.log(ARGUMENTS[step % len(ARGUMENTS)], loss=loss)
    run.log(step, loss=ARGUMENTS[step % len(ARGUMENTS)], **{"": norm, "a\0b": norm})
    run.log(step, layers=LAYERS[step % len(LAYERS)], profiles=LAYERS[step % len(LAYERS)])
    run.event(ARGUMENTS[step % len(ARGUMENTS)], ARGUMENTS[(step + 1) % len(ARGUMENTS)])
    run.event("note", step, text=Unprintable(), nested={1: {2: Unprintable()}})
    run.decide(ARGUMENTS[step % len(ARGUMENTS)], ARGUMENTS[(step + 1) % len(ARGUMENTS)])


def after_the_end(run: Any, step: int, loss: float, norm: float) -> None:
    if step == STEPS // 2:
        run.finish("nonsense", reason=Unprintable())
    plain(run, step, loss, norm)


ARGUMENTS: tuple[Any, ...] = (
    None, -1, 2**60, 1.5, "7", b"7", [], {}, object(), Unprintable(), np.float32(3), np.zeros(3),
    np.array(["x"]), 10**400, True, math.nan, "x" * 10_000, "\ud800", lambda: 1,
)  # fmt: skip
LAYERS: tuple[Any, ...] = (
    *ARGUMENTS,
    {"fc": None},
    {"fc": {"grad_norm": Unprintable()}},
    {"": {"": 1.0}},
    {None: {None: None}},
    {"time": ["a", None]},
    {"time": [[1.0], [2.0]]},
    {Unprintable(): 1},
    {"x" * 10_000: {"grad_norm": 1.0}},
)
HABITS: Mapping[str, Callable[[Any, int, float, float], None]] = {
    habit.__name__: habit for habit in (silent, plain, all_nan, malformed, after_the_end)
}
BAD_STARTS: Mapping[str, Mapping[str, Any]] = {
    "no project": {"project": ""},
    "project of another kind": {"project": Unprintable()},
    "address of nothing": {"project": "p", "url": "nowhere"},
    "address in the open": {"project": "p", "url": "http://gradwatch.invalid"},
    "unknown mode": {"project": "p", "mode": "loud"},
    "key no header can hold": {"project": "p", "api_key": "gw\n"},
    "everything else": {
        "project": "p", "name": 7, "config": {1: Unprintable()}, "tags": 3, "id": "mine",
        "launch_id": object(), "resume_step": "9", "layers": [Unprintable()], "colour": "red",
    },
}  # fmt: skip


def train(run: Any, report: Callable[[Any, int, float, float], None]) -> dict[str, Any]:
    """Least squares by gradient descent, with a report of every step."""
    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(64, 8))
    targets, weights = inputs.sum(axis=1), np.zeros(8)
    done = 0
    for step in range(STEPS):
        error = inputs @ weights - targets
        gradient = 2 * inputs.T @ error / len(inputs)
        report(run, step, float(error @ error), float(np.linalg.norm(gradient)))
        weights -= LEARNING_RATE * gradient
        done += 1
    return {"steps": done, "weights": weights.tobytes().hex()}


def main(habit: str, start: str = "") -> None:
    run = gradwatch.init(**BAD_STARTS[start]) if start else gradwatch.init("harmless")
    outcome = train(run, HABITS[habit])
    counts = asdict(run.counts)
    print(json.dumps({**outcome, "run": run.id, "counts": counts, "ends_at": time.monotonic()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
