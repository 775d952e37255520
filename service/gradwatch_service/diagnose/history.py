"""What diagnosis remembers of a writer's reports: one small value, the same under any batching."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gradwatch_service.detect.substrate import columns_from
from gradwatch_service.detect.view import View
from gradwatch_service.diagnose import trials
from gradwatch_service.diagnose.blow import Blows
from gradwatch_service.diagnose.heat import Heat
from gradwatch_service.diagnose.limits import Limits
from gradwatch_service.diagnose.rates import RECENT, Rates
from gradwatch_service.diagnose.standing import Standing
from gradwatch_service.diagnose.trials import Trials, Word
from gradwatch_service.diagnose.troubles import Trouble
from gradwatch_service.diagnose.weights import Weights
from gradwatch_service.domain import BoolArray, IntArray, JsonValue, LayerTable

MARKS = ("checkpoint", "phase")
SPIKE_MEMORY = 1024
SAME_SPIKE = 16
SKIP_MEMORY = 512
MOST_SKIPS = 10
_KEPT_MARKS = 64
YOUNG = 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the job announced at a step: a checkpoint saved, a new phase."""

    kind: str
    step: int


@dataclass(frozen=True, slots=True)
class Break:
    """Whether loss and gradient were not finite in the report in which that was seen first."""

    loss: bool
    gradient: bool

    @staticmethod
    def seen(view: View, row: int) -> Break:
        """The break of this report."""
        gradient = bool(view.norm.bad[row] or view.layer.bad[row].any())
        return Break(bool(view.loss.bad[row]), gradient)


@dataclass(frozen=True, slots=True)
class History:
    """Recent steps int64[≤ 65], learning rates, hot layers, spikes and announcements.

    ``high``: bool[≤ 16], whether the norm was at or over the spike limit; ``largest``: the newest
    finite ``grad_max`` over all layers (None: none yet); ``zeros``: the first mean share of zeros
    in the gradients; ``spikes``: ordinals at which one began; ``skips``: ordinals of the last 11
    updates the guard skipped; ``gains``: initial gain of each layer of a badly initialised chain;
    ``first_step``: that of the first
    report; ``words``: what the job said about advice for steps to come, ``trials``: for those
    before.
    """

    layers: LayerTable
    heat: Heat
    steps: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    high: BoolArray = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    rates: Rates = field(default_factory=Rates)
    blows: Blows = field(default_factory=Blows)
    limits: Limits = field(default_factory=Limits)
    weights: Weights = field(default_factory=Weights)
    standing: Standing = field(default_factory=Standing)
    largest: float | None = None
    zeros: float | None = None
    spikes: tuple[int, ...] = ()
    skips: tuple[int, ...] = ()
    marks: tuple[Mark, ...] = ()
    words: tuple[Word, ...] = ()
    trials: Trials = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()
    gains: Mapping[str, float] = field(default_factory=dict)
    broken: Break | None = None
    first_step: int | None = None

    @staticmethod
    def empty(layers: LayerTable) -> History:
        """Nothing seen yet."""
        return History(layers=layers, heat=Heat.empty(len(layers)))

    @property
    def increment(self) -> int:
        """The median distance of two reports in steps, at least 1."""
        distances = np.sort(np.diff(self.steps))
        return max(int(distances[len(distances) // 2]), 1) if len(distances) else 1

    def fresh(self, ordinal: int) -> int | None:
        """The first step, as long as the weights of that step are worth going back to."""
        return None if self.gains or ordinal >= YOUNG else self.first_step

    def grown(self, layers: LayerTable) -> History:
        """Move to another layer table; layers known by name keep what is known of them."""
        if layers is self.layers or layers.hash == self.layers.hash:
            return self
        source = columns_from(self.layers, layers)
        weights = self.weights.grown(source)
        return replace(self, layers=layers, heat=self.heat.grown(source), weights=weights)

    def told(self, events: Sequence[Mapping[str, JsonValue]]) -> History:
        """Take note of what the job announced with a frame."""
        if not events:
            return self
        new = [
            Mark(str(event["kind"]), step)
            for event in events
            if event.get("kind") in MARKS and isinstance(step := event.get("step"), int)
        ]
        words = [word for event in events if (word := trials.read(event)) is not None]
        return replace(self, marks=(*self.marks, *new), words=(*self.words, *words))

    def forgot(self) -> History:
        """Drop all but 64 announcements of the past and 64 of the future; between frames."""
        if max(len(self.marks), len(self.words)) <= _KEPT_MARKS:
            return self
        newest = int(self.steps[-1]) if len(self.steps) else -1
        ahead = [mark for mark in self.marks if mark.step > newest][:_KEPT_MARKS]
        return replace(
            self, marks=(*self.marks_until(newest), *ahead), words=self.words[:_KEPT_MARKS]
        )

    def advance(self, view: View, start: int, stop: int) -> History:
        """Take rows ``start`` to ``stop`` of a view into memory."""
        if start == stop:
            return self
        rows = slice(start, stop)
        ordinal, step = view.ordinal[rows], view.step[rows]
        high = view.norm.z[rows] >= view.norm.limit
        heard = self._heard_by(int(step[-1]))
        return replace(
            self,
            heat=self.heat.follow(view, rows),
            steps=np.concatenate([self.steps, step])[-RECENT - 1 :],
            first_step=int(step[0]) if self.first_step is None else self.first_step,
            high=np.concatenate([self.high, high])[-SAME_SPIKE:],
            rates=self.rates.advance(view.measured("lr")[rows], ordinal, step),
            blows=self.blows.advance(view, rows),
            limits=_limits(view, rows, self.limits),
            weights=self.weights.advance(view, start, stop),
            standing=self.standing.advance(view, rows),
            largest=_largest(view, rows, self.largest),
            zeros=zeros_share(view, rows) if self.zeros is None else self.zeros,
            skips=(*self.skips, *_skipped(view, rows))[-MOST_SKIPS - 1 :],
            words=tuple(x for x in self.words if x not in heard) if heard else self.words,
            trials=trials.after(self.trials, heard) if heard else self.trials,
        )

    def news(self, view: View) -> tuple[int, ...]:
        """Rows at which the alerts change though no finding does.

        Where an action was reported on, and where the guard has used up its skips.
        """
        heard = self._heard_by(int(view.step[-1]))
        rows = [int((view.step >= word.step).argmax()) for word in heard]
        skipped = (*self.skips, *_skipped(view, slice(0, len(view))))
        rows += [
            skipped[newest] - int(view.ordinal[0])
            for newest in range(len(self.skips), len(skipped))
            if _used_up(skipped[: newest + 1]) and not _used_up(skipped[:newest])
        ]
        return tuple(rows)

    def _heard_by(self, step: int) -> list[Word]:
        return [word for word in self.words if word.step <= step] if self.words else []

    def skips_until(self, ordinal: int) -> int:
        """How many of the last 512 updates the guard skipped, at most 10."""
        return sum(ordinal - at < SKIP_MEMORY for at in self.skips[-MOST_SKIPS:])

    def spikes_until(self, ordinal: int) -> int:
        """How many spikes began in the last 1,024 reports."""
        return sum(ordinal - at < SPIKE_MEMORY for at in self.spikes)

    def marks_until(self, step: int) -> tuple[Mark, ...]:
        """The 64 newest announcements for this step or an earlier one."""
        past = (mark for mark in self.marks if mark.step <= step)
        return tuple(sorted(past, key=lambda mark: mark.step))[-_KEPT_MARKS:]

    def announced(self, kind: str, step: int) -> tuple[int, ...]:
        """Steps of the announcements of a kind for this step or an earlier one."""
        return tuple(mark.step for mark in self.marks_until(step) if mark.kind == kind)

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
    for row in reversed(values[rows]):
        known = row[np.isfinite(row)]
        if len(known):
            return float(known.max())
    return before


def _limits(view: View, rows: slice, before: Limits) -> Limits:
    if "clip_norm" not in view.scalars:
        return before
    return before.advance(view.measured("clip_norm")[rows], view.ordinal[rows])


def zeros_share(view: View, rows: slice) -> float | None:
    """The mean over layers of the share of zeros in the gradient, where it is first measured."""
    values = view.stat("grad_zero")
    if values is None:
        return None
    known = np.isfinite(values[rows])
    found = np.flatnonzero(known.any(axis=1))
    if not len(found):
        return None
    row = int(found[0])
    held = values[rows][row][known[row]].tolist()
    return math.fsum(held) / len(held)


def _skipped(view: View, rows: slice) -> list[int]:
    """Ordinals of the reports whose update the guard skipped."""
    if "skipped" not in view.scalars:
        return []
    return [int(at) for at in view.ordinal[rows][view.scalars["skipped"][rows] > 0]]


def _used_up(skipped: tuple[int, ...]) -> bool:
    """Whether the last 10 skips were within 512 reports."""
    return len(skipped) >= MOST_SKIPS and skipped[-1] - skipped[-MOST_SKIPS] < SKIP_MEMORY
