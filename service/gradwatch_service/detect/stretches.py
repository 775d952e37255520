"""Stretches of 16 values of a track: what a rule remembers that looks back more than 128 values.

A stretch is counted in measured values, so that a sparse track is judged like any other. A view has
at most 16 rows: at most one stretch ends in it, and there the rule speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradwatch_service.detect.fixedpoint import log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, quiet, throughout
from gradwatch_service.detect.view import LONGEST_WINDOW, Track, View
from gradwatch_service.domain import BoolArray

_MAD_TO_SIGMA = 1518  # 1.4826 * 2**10
_PART = 32


def median(values: Sequence[int]) -> int:
    """The upper median."""
    return sorted(values)[len(values) // 2]


def spread(values: Sequence[int], middle: int) -> int:
    """1.4826 times the median distance to ``middle``: a deviation that outliers do not move."""
    return (median([abs(value - middle) for value in values]) * _MAD_TO_SIGMA) >> 10


def falls(loss: Track, row: int, share: float) -> bool:
    """Whether the last 32 losses lie below the first 32 of the last 128, by this share or more."""
    if loss.count[row] < LONGEST_WINDOW:
        return False
    window = loss.last(row, LONGEST_WINDOW)
    early, late = median(window[:_PART].tolist()), median(window[-_PART:].tolist())
    return early - late >= (share * abs(early) if loss.linear else log2_bits(1 + share))


def within(view: View, known: BoolArray, *, calm: bool) -> Signal:
    """The signal where no stretch ends: nothing new, as calm as at the last end."""
    return quiet(view, throughout(view, calm), known)


def judged(
    view: View,
    row: int,
    severity: int,
    calm: tuple[bool, bool],
    known: BoolArray,
    describe: Callable[[int], Sighting],
) -> Signal:
    """The signal where a stretch ends at ``row``: ``severity`` there, 0 for nothing.

    ``calm``: whether the clear condition held before that row, and whether it does from there on.
    """
    rests = throughout(view, calm[0])
    if calm[0] != calm[1]:
        rests = rests.copy()
        rests[row:] = calm[1]
    if not severity:
        return quiet(view, rests, known)
    level = np.zeros(len(view), dtype=np.int8)
    level[row] = severity
    return Signal(level, rests, describe, known)
