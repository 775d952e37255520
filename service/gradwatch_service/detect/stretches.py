"""Stretches of 16 values of a track: what a rule remembers that looks back more than 128 values.

A stretch is counted in measured values, so that a sparse track is judged like any other. A view has
at most 16 rows: at most one stretch ends in it, and there the rule speaks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.fixedpoint import Fixed, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, quiet
from gradwatch_service.detect.view import LONGEST_WINDOW, Track, View
from gradwatch_service.domain import BoolArray

_MAD_TO_SIGMA = 1518  # 1.4826 * 2**10
_PART = 32


def end(track: Track) -> int | None:
    """The row at which a stretch of 16 values of the track ends; None: at none."""
    before, after = track.past.count, int(track.count[-1])
    if before // BLOCK == after // BLOCK:
        return None
    return int(np.flatnonzero(track.ok)[BLOCK - before % BLOCK - 1])


def last(track: Track, row: int, length: int = BLOCK) -> Fixed:
    """The last ``length`` values at a row, int32[length]."""
    return np.asarray(track.window(length)[row])


def median(values: Fixed | Sequence[int]) -> int:
    """The upper median."""
    return int(np.sort(np.asarray(values))[len(values) // 2])


def spread(values: Sequence[int], middle: int) -> int:
    """1.4826 times the median distance to ``middle``: a deviation that outliers do not move."""
    return (median(np.abs(np.asarray(values) - middle)) * _MAD_TO_SIGMA) >> 10


def falls(loss: Track, row: int, share: float) -> bool:
    """Whether the last 32 losses lie below the first 32 of the last 128, by this share or more."""
    if loss.count[row] < LONGEST_WINDOW:
        return False
    window = last(loss, row, LONGEST_WINDOW)
    early, late = median(window[:_PART]), median(window[-_PART:])
    return early - late >= (share * abs(early) if loss.linear else log2_bits(1 + share))


def within(view: View, known: BoolArray, *, calm: bool) -> Signal:
    """The signal where no stretch ends: nothing new, as calm as at the last end."""
    return quiet(view, None if calm else np.zeros(len(view), dtype=np.bool_), known)


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
    rests = np.full(len(view), calm[0])
    rests[row:] = calm[1]
    if not severity:
        return quiet(view, rests, known)
    level = np.zeros(len(view), dtype=np.int8)
    level[row] = severity
    return Signal(level, rests, describe, known)
