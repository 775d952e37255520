"""Substrate S6: was the training just told to change? Then a new level of the norm is expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from gradwatch_service.domain import BoolArray, Frame, IntArray, JsonValue

SETTINGS = ("lr", "batch_size", "seq_len")
ANNOUNCED = ("phase", "resume")
WITHIN = 64
RATIO = 1.25
_KEPT_EVENTS = 8
_NEVER = -(10**9)

Samples: TypeAlias = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """A setting over the last 64 reports: (ordinal, value), oldest first, of its extremes.

    ``highs`` falls and ``lows`` rises from its first value, the extreme, to the newest value.
    """

    highs: Samples = ()
    lows: Samples = ()


@dataclass(frozen=True, slots=True)
class Context:
    """The settings' courses, the announced steps still awaited, the ordinal of the last reached.

    ``step`` is that of the newest report.
    """

    courses: tuple[Course, ...] = (Course(),) * len(SETTINGS)
    awaited: tuple[int, ...] = ()
    step: int = -1
    reached: int = _NEVER


def told(context: Context, events: Iterable[Mapping[str, JsonValue]]) -> Context:
    """Await the steps of the phases and resumes announced with a frame, the newest eight.

    To be called before the frame's reports are followed. So that cuts make no difference, an event
    counts from the report that reaches its step, and only if it came in the frame of that report or
    earlier: one that comes later waits in vain, unless the run goes back and reaches it again.
    """
    steps = tuple(
        step
        for event in events
        if event.get("kind") in ANNOUNCED and isinstance(step := event.get("step"), int)
    )
    if not steps:
        return context
    awaited = (*context.awaited, *steps)[-_KEPT_EVENTS:]
    return Context(context.courses, awaited, context.step, context.reached)


def follow(context: Context, part: Frame, ordinal: IntArray) -> tuple[Context, BoolArray]:
    """Mark the reports within 64 of a change: bool[n].

    A change is an announced step that is reached, or a setting whose largest and smallest value of
    these 64 reports and the one before differ by a factor ≥ 1.25: at once or little by little.
    """
    first = int(ordinal[0])
    context, reached = _reach(context, part.steps, first)
    changed = np.array([at - last < WITHIN for at, last in enumerate(reached, first)])
    courses = []
    for name, before in zip(SETTINGS, context.courses, strict=True):
        course, moves = before, None
        if before.highs or name in part.scalars:
            values = part.scalars.get(name)
            given = [math.nan] * len(part) if values is None else values.tolist()
            course, moves = _advance(before, given, first)
        if moves is not None:
            changed |= moves
        courses.append(course)
    return Context(tuple(courses), context.awaited, context.step, context.reached), changed


def _reach(context: Context, steps: IntArray, first: int) -> tuple[Context, list[int]]:
    """The ordinal of the last announcement reached, at each row."""
    reached = [context.reached] * len(steps)
    awaited, before = context.awaited, context.step
    for row, step in enumerate(steps.tolist()) if awaited else ():
        left = tuple(x for x in awaited if not (before < x <= step or x <= step < before))
        if len(left) < len(awaited):
            reached[row:] = [first + row] * (len(steps) - row)
        awaited, before = left, step
    return Context(context.courses, awaited, int(steps[-1]), reached[-1]), reached


def _advance(course: Course, values: list[float], first: int) -> tuple[Course, BoolArray | None]:
    """Follow a setting over the rows of a part; None: no row is near a change."""
    newest = course.highs[-1][1] if course.highs else math.nan
    if len(course.highs) == len(course.lows) == 1 and _constant(values, newest):
        only = ((first + len(values) - 1, newest),)
        return Course(only, only), None
    highs, lows, moves = list(course.highs), list(course.lows), []
    for at, value in enumerate(values, first):
        newest = value if math.isfinite(value) else newest
        if not math.isnan(newest):
            _push(highs, at, newest, 1)
            _push(lows, at, newest, -1)
        moves.append(bool(highs) and _differ(lows[0][1], highs[0][1]))
    return Course(tuple(highs), tuple(lows)), np.array(moves)


def _constant(values: list[float], newest: float) -> bool:
    return all(value == newest or not math.isfinite(value) for value in values)


def _push(samples: list[tuple[int, float]], at: int, value: float, sign: int) -> None:
    """Add the newest value to a list of running extremes: maxima with sign 1, minima with -1."""
    while samples and sign * samples[-1][1] <= sign * value:
        samples.pop()
    samples.append((at, value))
    while samples[0][0] < at - WITHIN:
        samples.pop(0)


def _differ(low: float, high: float) -> bool:
    return high != low and high >= RATIO * low
