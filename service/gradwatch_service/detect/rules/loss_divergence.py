"""loss-divergence: the loss has left its level upwards, stays there, and is not the only sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.fixedpoint import Fixed, bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, levels, newest, quiet, run_lengths
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View, upper_medians
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable, Severity

NEW, REFERENCE = 16, 64
_LONG_AGO = -(10**9)
_PEAKS, _ENDS = 9, 2


@dataclass(frozen=True, slots=True)
class Climb:
    """The loss against its best while the learning rate goes where it has never been.

    ``best``: the lowest median of 32 losses, at the ends of stretches of 16; ``peaks``: the highest
    learning rate up to each of the last nine ends; ``ends``: how many in a row it was climbing.
    """

    best: int | None = None
    peaks: tuple[float, ...] = ()
    ends: int = 0


@dataclass(frozen=True, slots=True)
class Departure:
    """Losses in a row above the reference; ordinals of the last sign in norm and in anything."""

    above: int = 0
    norm: int = _LONG_AGO
    grave: int = _LONG_AGO
    climb: Climb = field(default_factory=Climb)


@dataclass(frozen=True, slots=True)
class LossDivergence:
    """16-median of the loss above the 64 before by max(1.5 scales, 50 %), 8 in a row.

    Alone it has too many false alarms, so another sign must have been seen in the last 32 reports:
    uw ≥ .02 or a non-finite value, an error; or a gradient norm ≥ 3 scales up, a warning where uw
    is known and smaller, as when the data have changed, else an error. Four times the level before
    is a warning by itself. Judged from the 80th loss on.

    Or climbing, an error: at the ends of two stretches of 16 losses on end the learning rate is 2x
    the highest it had 128 losses before, and the median of 32 losses over the lowest there was by
    .35 bit (5 scales if the loss can be negative). A slow ramp takes the level before with it, but
    not the best. Ends after 32 reports with neither.

    Source: Gradwatch's pilot (DETECTORS section 3), measured by benchmarks/detection.
    """

    id: ClassVar[str] = "loss-divergence"
    clear_after: ClassVar[int] = 32
    scales: float = settable(
        1.5, "rise of the loss over its level before, in units of its noise", 0.5, 50.0, "scales"
    )
    share: float = settable(
        0.5, "rise of the loss over its level before, relative", 0.05, 100.0, "share"
    )
    in_a_row: int = 8
    norm_z: float = 3.0
    ratio: float = 0.02
    within: int = 32
    far_bits: float = 2.0
    record: float = 2.0
    climb_bits: float = 0.35
    climb_scales: float = 5.0

    def init(self, _layers: LayerTable) -> Departure:
        """Nothing seen yet."""
        return Departure()

    def update(self, state: Departure, view: View) -> tuple[Departure, Signal]:
        """Compare the level now with the level before, and with the best."""
        loss, was = view.loss, state
        norm, grave = self._signs(view)
        above, far = self._above(loss)
        streak = run_lengths(above, state.above, loss.ok)
        before, climb = state.climb, self._climbed(state.climb, view)
        state = Departure(
            above=int(streak[-1]),
            norm=newest(view.ordinal, norm, was.norm),
            grave=newest(view.ordinal, grave, was.grave),
            climb=climb,
        )
        lasting = loss.ok & (streak >= self.in_a_row)
        climbs = np.zeros(len(view), dtype=np.bool_)
        row = loss.stretch
        calm = ~above & (before.ends == 0)
        if row is not None and before.ends + climb.ends:
            calm[row:] = ~above[row:] & (climb.ends == 0)
            climbs[row] = climb.ends >= _ENDS
        if not (lasting.any() or climbs.any()):
            return state, quiet(view, calm, loss.ok)
        level = levels(
            view,
            (Severity.WARNING, lasting & (self._recently(view, norm, was.norm) | far)),
            (Severity.ERROR, lasting & self._recently(view, grave, was.grave)),
            (Severity.ERROR, climbs),
        )

        def describe(at: int) -> Sighting:
            facts = (self._departure(view, at, int(streak[at])),) if lasting[at] else ()
            return Sighting((*facts, *((_record(view, at, climb),) if climbs[at] else ())))

        return state, Signal(level, calm, describe, loss.ok)

    def _departure(self, view: View, row: int, streak: int) -> Evidence:
        value = float(view.scalar("loss")[row])
        text = (
            f"the loss has left its level: now {value:.4g}, {streak} reports in a "
            f"row more than {self.share:.0%} above the median of the {REFERENCE} before"
        )
        return Evidence("loss-divergence", text, int(view.step[row]), value)

    def _climbed(self, climb: Climb, view: View) -> Climb:
        """Where a stretch of 16 losses ends: the next best, peak, and number of ends."""
        loss, row = view.loss, view.loss.stretch
        if row is None:
            return climb
        if loss.count[row] < 2 * NEW:  # at the start, and where the loss changes its unit
            return Climb()
        level = stretches.median(loss.last(row, 2 * NEW).tolist())
        rate = view.number("lr", row)
        highest = max((peak for peak in (*climb.peaks[-1:], rate) if peak > 0), default=0.0)
        peaks = (*climb.peaks, highest)[-_PEAKS:]
        best = level if climb.best is None else min(climb.best, level)
        least = round(self.climb_scales * loss.scale) if loss.linear else bits(self.climb_bits)
        record = len(peaks) == _PEAKS and peaks[0] > 0 and rate >= self.record * peaks[0]
        climbs = record and level - best >= least
        return Climb(best, peaks, climb.ends + 1 if climbs else 0)

    def _above(self, loss: Track) -> tuple[BoolArray, BoolArray]:
        """Where the loss is over the level before, and where by far: bool[n] each."""
        late = loss.count >= NEW + REFERENCE
        if not late[-1] or self._rests(loss):
            never = np.zeros(len(late), dtype=np.bool_)
            return never, never
        new = loss.medians
        reference = upper_medians(loss.window(NEW + REFERENCE)[:, :REFERENCE])
        rise, far = new - reference, np.full(len(new), not loss.linear)
        far &= rise >= max(bits(self.far_bits), 2 * round(self.scales * loss.scale))
        return np.asarray(late & (rise > self._margin(loss, reference))), late & far

    def _rests(self, loss: Track) -> bool:
        """Whether even the highest of the new losses is near the lowest of those before."""
        rows, margin = len(loss.y), self._least_rise(loss)
        new, before = loss.values[-NEW - rows :], loss.values[-NEW - REFERENCE - rows : -NEW]
        return not loss.linear and int(new.max()) - int(before.min()) <= margin

    def _margin(self, loss: Track, reference: Fixed) -> IntArray:
        least = self._least_rise(loss)
        if loss.linear:
            return np.maximum(least, np.rint(np.abs(reference) * self.share).astype(np.int64))
        return np.full(len(reference), least, dtype=np.int64)

    def _least_rise(self, loss: Track) -> int:
        wide = round(self.scales * loss.scale)
        return wide if loss.linear else max(wide, log2_bits(1 + self.share))

    def _signs(self, view: View) -> tuple[BoolArray, BoolArray]:
        """Where there is a sign in the norm, and where there is a grave one: bool[n] each."""
        norm, ratio = view.norm.z >= self.norm_z, view.ratio
        grave = view.norm.bad | view.loss.bad | (ratio.ok & (ratio.y >= log2_bits(self.ratio)))
        if not ratio.count[0]:
            grave |= norm & (ratio.count == 0)
        return norm, grave

    def _recently(self, view: View, sign: BoolArray, before: int) -> BoolArray:
        """Where a sign was seen lately; ``before``: the last report before the view with one."""
        last = np.maximum.accumulate(np.where(sign, view.ordinal, before))
        return np.asarray(view.ordinal - last <= self.within)


def _record(view: View, row: int, climb: Climb) -> Evidence:
    rate, before = view.number("lr", row), climb.peaks[0]
    text = (
        f"the learning rate is {rate:.3g}, {rate / before:.3g} times its highest of {_PEAKS - 1} "
        f"blocks of {NEW} reports ago, and the loss is rising from its best"
    )
    return Evidence("rate-record", text, int(view.step[row]), rate, 2 * before)
