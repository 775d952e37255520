"""Substrate S6: was the training just told to change? Then a new level of the norm is expected."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradwatch_service.domain import BoolArray, Frame, IntArray

SETTINGS = ("lr", "batch_size", "seq_len")
WITHIN = 64
RATIO = 1.25
_NEVER = -(10**9)


@dataclass(frozen=True, slots=True)
class Context:
    """The newest value of each setting (NaN: none yet); the ordinal at which one last changed."""

    newest: tuple[float, ...] = (math.nan,) * len(SETTINGS)
    changed: int = _NEVER


def follow(context: Context, part: Frame, ordinal: IntArray) -> tuple[Context, BoolArray]:
    """Mark the reports within 64 of a change by a factor ≥ 1.25 either way: bool[n]."""
    newest = list(context.newest)
    changed = [context.changed] * len(part)
    for index, name in enumerate(SETTINGS):
        for row, value in enumerate(part.scalars[name].tolist() if name in part.scalars else ()):
            if not math.isfinite(value):
                continue
            if _jumps(newest[index], value):
                changed[row] = int(ordinal[row])
            newest[index] = value
    last = np.maximum.accumulate(np.array(changed, dtype=np.int64))
    return Context(tuple(newest), int(last[-1])), np.asarray(ordinal - last < WITHIN)


def _jumps(before: float, now: float) -> bool:
    return before != now and max(before, now) >= RATIO * min(before, now)
