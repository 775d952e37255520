"""Classes of spikes (substrate S5): what the 16 values from its first on make of a spike.

A single value far out of range is most often a bad batch, and information; what matters is what
comes after it. ``follow`` is called by the rules that look for spikes, each with its own track.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np

from gradwatch_service.detect.fixedpoint import Fixed, bits
from gradwatch_service.detect.rule import Levels
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, Severity

WINDOW = 16
HALF = 8
SHORT = 3
MEMORY = 1024
RECURS = 4
BACK_SCALES = 2
_LARGER = bits(1.0)
_LARGER_SCALES = 4

UNKNOWN, ISOLATED, RECURRENT, LEVEL_SHIFT, ESCALATING = range(5)
WORDS = {
    ISOLATED: "an isolated spike: the level was back within 16 reports",
    RECURRENT: "a recurrent spike: they keep coming",
    LEVEL_SHIFT: "a level shift: after 16 reports the level has not come back",
    ESCALATING: "an escalating spike: later values are larger still",
}


@dataclass(frozen=True, slots=True)
class Spike:
    """A spike from its first value on; numbers in the track's unit.

    ``ordinal``: report of its first value; ``count``, ``newest``: which of the track's values its
    first and its newest out of range were; ``outside``: how many were; ``level``: where its largest
    stands, and once that is known where the track stays; ``earlier``: spikes within the 1,024
    reports before it; ``together``: the other track jumped with one of them.
    """

    ordinal: int
    count: int
    newest: int
    median: int
    scale: int
    peak: int
    level: int
    outside: int
    earlier: int
    together: bool
    announced: bool
    kind: int = UNKNOWN

    @property
    def rise(self) -> int:
        """How far its largest value stands over the median before it."""
        return self.peak - self.median

    @property
    def height(self) -> int:
        """How far its level stands over the median before it."""
        return self.level - self.median

    @property
    def lone(self) -> bool:
        """Whether it is isolated, as far as is known."""
        if self.kind != UNKNOWN:
            return self.kind == ISOLATED
        return self.outside <= SHORT and self.earlier < RECURS - 1


@dataclass(frozen=True, slots=True)
class Spikes:
    """The newest spike of a track, and (ordinal, rise) of those of the last 1,024 reports.

    ``last``: the report of the last value out of range, for rules that ask for it.
    """

    newest: Spike | None = None
    past: tuple[tuple[int, int], ...] = ()
    last: int = -MEMORY


@dataclass(frozen=True, slots=True)
class Rows:
    """What a rule saw of its track in a view, bool[n] each.

    ``outside``: values out of range; ``together``: the other track jumped; ``least``: the rise from
    which on a value may be out of range, and a level counts as shifted.
    """

    outside: BoolArray
    together: BoolArray
    least: int


@dataclass(frozen=True, slots=True)
class Sequel:
    """What the rows of a view make of it: ``level`` int8[n], ``classed`` bool[n], and the spikes.

    ``spike[row]`` is the newest one at that row.
    """

    level: Levels
    classed: BoolArray
    spike: tuple[Spike | None, ...] = field(default=())


Judge: TypeAlias = Callable[[Spike], Severity]


def waits(state: Spikes) -> bool:
    """Whether the newest spike has no class yet."""
    return state.newest is not None and state.newest.kind == UNKNOWN


def follow(
    state: Spikes, track: Track, view: View, rows: Rows, judge: Judge
) -> tuple[Spikes, Sequel]:
    """Take the rows of a view; ``judge`` gives the severity of a spike."""
    outside = rows.outside
    level, classed = np.zeros(len(view), dtype=np.int8), np.zeros(len(view), dtype=np.bool_)
    if state.newest is not None and track.past.count < state.newest.newest:
        state = Spikes()  # the track began anew, in another unit
    known: list[Spike | None] = []
    for row in range(len(view)):
        spike = state.newest
        if outside[row]:
            spike = _struck(state, track, view, row, together=bool(rows.together[row]))
        if spike is not None and _due(spike, track, row):
            spike, classed[row] = _classed(spike, state, track, row, rows.least), True
            state = _remembered(state, spike)
        if spike is not None and (outside[row] or (classed[row] and not spike.lone)):
            level[row] = judge(spike)
        state = state if spike is state.newest else replace(state, newest=spike)
        known.append(spike)
    return state, Sequel(level, classed, tuple(known))


def graded(spike: Spike, severity: Severity) -> Severity:
    """The severity of a spike of its class, where ``severity`` is that of its height alone."""
    if spike.lone or (spike.announced and not spike.together and spike.kind != RECURRENT):
        return Severity.INFO
    least = {RECURRENT: Severity.WARNING, ESCALATING: Severity.ERROR}
    return max(severity, least.get(spike.kind, Severity.INFO))


def class_facts(spike: Spike, step: int) -> tuple[Evidence, ...]:
    """The fact ``spike-class``: value 1 isolated, 2 recurrent, 3 level-shift, 4 escalating.

    With a shifted level also ``spike-level``: which part of the spike's rise is left, in bits. A
    bad batch that did lasting harm leaves little, a new kind of data nearly all.
    """
    text = WORDS[spike.kind]
    if spike.kind == RECURRENT and spike.earlier:
        text += f" ({spike.earlier + 1} in {MEMORY:,} reports)"
    fact = Evidence("spike-class", text, step, float(spike.kind))
    if spike.kind not in (LEVEL_SHIFT, ESCALATING):
        return (fact,)
    left = spike.height / spike.rise
    return fact, Evidence("spike-level", f"{left:.0%} of its rise is left (in bits)", step, left)


def _struck(state: Spikes, track: Track, view: View, row: int, *, together: bool) -> Spike:
    """A value out of range: it belongs to the newest spike, or begins one."""
    ordinal, count, y = int(view.ordinal[row]), int(track.count[row]), int(track.y[row])
    spike, announced = state.newest, bool(view.announced[row])
    if spike is not None and not _over(spike, count):
        peak = max(spike.peak, y)
        return replace(
            spike,
            newest=count,
            peak=peak,
            level=peak if spike.kind == UNKNOWN else spike.level,
            outside=spike.outside + 1,
            together=spike.together or together,
            announced=spike.announced or announced,
        )
    earlier = sum(ordinal - at < MEMORY for at, _ in state.past)
    return Spike(
        ordinal, count, count, track.median, track.scale, y, y, 1, earlier, together, announced
    )


def _due(spike: Spike, track: Track, row: int) -> bool:
    """Whether the row brings the last of the values by which a spike is classed."""
    last = int(track.count[row]) - spike.count == WINDOW - 1
    return last and spike.kind == UNKNOWN and bool(track.ok[row])


def _over(spike: Spike, count: int) -> bool:
    """Whether a value out of range begins a new spike: a shifted level is one, however long."""
    if spike.kind in (LEVEL_SHIFT, ESCALATING):
        return count - spike.newest > WINDOW
    return count - spike.count >= WINDOW


def _classed(spike: Spike, state: Spikes, track: Track, row: int, least: int) -> Spike:
    values = track.window(WINDOW)[row]
    before, after = _median(values[:HALF]), _median(values[HALF:])
    larger = _LARGER_SCALES * spike.scale if track.linear else _LARGER
    rises = [rise for at, rise in state.past if spike.ordinal - at < MEMORY]
    if after - spike.median >= max(BACK_SCALES * spike.scale, least):
        kind = ESCALATING if after - before >= larger else LEVEL_SHIFT
        return replace(spike, kind=kind, level=after)
    if spike.earlier < RECURS - 1:
        return replace(spike, kind=ISOLATED if spike.outside <= SHORT else RECURRENT)
    grows = _grow([*rises, spike.rise], larger)
    return replace(spike, kind=ESCALATING if grows else RECURRENT)


def _grow(rises: list[int], by: int) -> bool:
    """Whether every one of the later half is larger than every one of the earlier half."""
    middle = len(rises) // 2
    return min(rises[middle:]) - max(rises[:middle]) >= by


def _median(values: Fixed) -> int:
    return int(np.sort(values)[len(values) // 2])


def _remembered(state: Spikes, spike: Spike) -> Spikes:
    past = tuple(one for one in state.past if spike.ordinal - one[0] < MEMORY)
    return Spikes(spike, (*past, (spike.ordinal, spike.rise)))
