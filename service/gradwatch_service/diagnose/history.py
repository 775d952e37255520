"""What diagnosis remembers of a writer's reports: one small value, the same under any batching."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradwatch_service.detect.substrate import columns_from
from gradwatch_service.detect.view import View
from gradwatch_service.diagnose.heat import Heat
from gradwatch_service.diagnose.rates import RECENT, Rates
from gradwatch_service.domain import BoolArray, IntArray, JsonValue, LayerTable

MARKS = ("checkpoint", "phase")
SPIKE_MEMORY = 1024
SAME_SPIKE = 16
_KEPT_MARKS = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the job announced at a step: a checkpoint saved, a new phase."""

    kind: str
    step: int


@dataclass(frozen=True, slots=True)
class History:
    """Recent steps int64[≤ 65], learning rates, hot layers, spikes and announcements.

    ``high``: bool[≤ 16], whether the norm was at or over the spike limit; ``largest``: the newest
    finite ``grad_max`` over all layers (None: none yet); ``spikes``: ordinals at which one began;
    ``gains``: initial gain of each layer of a badly initialised chain.
    """

    layers: LayerTable
    heat: Heat
    steps: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    high: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    rates: Rates = field(default_factory=Rates)
    largest: float | None = None
    spikes: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()
    gains: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def empty(layers: LayerTable) -> History:
        """Nothing seen yet."""
        return History(layers=layers, heat=Heat.empty(len(layers)))

    @property
    def increment(self) -> int:
        """The median distance of two reports in steps, at least 1."""
        distances = np.sort(np.diff(self.steps))
        return max(int(distances[len(distances) // 2]), 1) if len(distances) else 1

    def grown(self, layers: LayerTable) -> History:
        """Move to another layer table; layers known by name keep what is known of them."""
        if layers is self.layers or layers.hash == self.layers.hash:
            return self
        source = columns_from(self.layers, layers)
        return replace(self, layers=layers, heat=self.heat.grown(source))

    def told(self, events: Sequence[Mapping[str, JsonValue]]) -> History:
        """Take note of what the job announced with a frame."""
        if not events:
            return self
        new = [
            Mark(str(event["kind"]), step)
            for event in events
            if event.get("kind") in MARKS and isinstance(step := event.get("step"), int)
        ]
        return replace(self, marks=(*self.marks, *new))

    def forgot(self) -> History:
        """Drop all but the newest announcements; called between frames."""
        if len(self.marks) <= _KEPT_MARKS:
            return self
        return replace(self, marks=tuple(sorted(self.marks, key=lambda x: x.step)[-_KEPT_MARKS:]))

    def advance(self, view: View, start: int, stop: int) -> History:
        """Take rows ``start`` to ``stop`` of a view into memory."""
        if start == stop:
            return self
        rows = slice(start, stop)
        ordinal, step = view.ordinal[rows], view.step[rows]
        high = view.norm.z[rows] >= view.norm.limit
        return replace(
            self,
            heat=self.heat.advance(view.layer, rows, ordinal),
            steps=np.concatenate([self.steps, step])[-RECENT - 1 :],
            high=np.concatenate([self.high, high])[-SAME_SPIKE:],
            rates=self.rates.advance(view.measured("lr")[rows], ordinal, step),
            largest=_largest(view, rows, self.largest),
        )

    def spikes_until(self, ordinal: int) -> int:
        """How many spikes began in the last 1,024 reports."""
        return sum(ordinal - at < SPIKE_MEMORY for at in self.spikes)

    def marks_until(self, step: int) -> tuple[Mark, ...]:
        """What was announced for this step or an earlier one."""
        return tuple(mark for mark in self.marks if mark.step <= step)

    def struck(self, ordinal: int) -> History:
        """A spike began; loss and gradient of the same report, or a relapse soon after, are one."""
        if self.spikes and ordinal - self.spikes[-1] <= SAME_SPIKE:
            return self
        kept = tuple(at for at in self.spikes if ordinal - at < SPIKE_MEMORY)
        return replace(self, spikes=(*kept, ordinal))


def _largest(view: View, rows: slice, before: float | None) -> float | None:
    values = view.stat("grad_max")
    if values is None:
        return before
    known = np.isfinite(values[rows])
    found = np.flatnonzero(known.any(axis=1))
    if not len(found):
        return before
    row = int(found[-1])
    return float(values[rows][row][known[row]].max())
