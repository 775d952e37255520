"""The story of one run: what it heard, what was done and what came of it, in the order of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from benchmarks.repair.course import Course

Line: TypeAlias = tuple[int, str]
EVERY = 64


def story(alone: Course, helped: Course) -> list[str]:
    """All lines, ready to print."""
    lines = [*_heard(helped), *_done(helped), *_refused(helped), *_losses(alone, helped)]
    return [f"{step:6d}  {text}" for step, text in sorted(lines, key=lambda line: line[0])]


def _heard(course: Course) -> Iterator[Line]:
    for step, said in course.heard:
        yield step, _advice(said) if "action" in said else _alert(said)


def _alert(alert: Mapping[str, Any]) -> str:
    page = "PAGE " if alert.get("actionable") else ""
    causes = ", ".join(f"{x['cause']} {x['confidence']:.2f}" for x in alert.get("causes", ()))
    return (
        f"{page}{alert['state']} {alert['severity']} since {alert['opened_step']}: "
        f"{causes or alert['cause']} ({alert['rule']})"
    )


def _advice(advice: Mapping[str, Any]) -> str:
    check = advice["verify"]
    return (
        f"    advice class {advice['class']} {advice['action']} {advice['params']} "
        f"for {advice['cause']} {advice['confidence']:.2f}, steps {advice['apply_at_step']} to "
        f"{advice['expires_step']}; check {check['metric']} {check['op']} {check.get('value')}"
    )


def _done(course: Course) -> Iterator[Line]:
    for action in course.actions:
        yield action["step"], f"==> {action['action']} {action['status']}: {action['text']}"


def _refused(course: Course) -> Iterator[Line]:
    for step in course.refused:
        yield step, "--> no update"


def _losses(alone: Course, helped: Course) -> Iterator[Line]:
    for step in range(EVERY, len(helped.losses) + 1, EVERY):
        one, other = (_level(course.losses, step) for course in (alone, helped))
        yield step, f"loss {other:.4g}, alone {one:.4g}"


def _level(losses: tuple[float, ...], step: int) -> float:
    some = losses[max(step - EVERY, 0) : step]
    return float(np.median(some)) if some else math.nan
