"""Remembers the newest blow: a report in which the gradient jumps out of the blue.

A bad batch shows in its own loss, before any update; what an update has spoilt shows a report
later, and then the update before it was large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gradwatch_service.detect.fixedpoint import bits
from gradwatch_service.detect.view import Track, View

NORM_Z, LOSS_Z = 4.0, 4.0
RISE_BITS, ALONE_BITS = 2.0, 4.0  # from the report before, with a jump of the loss and without
FADE_BITS = 2.0
FADES_WITHIN = 6
SERIES = 64
_USUAL_BITS = 1.0


@dataclass(frozen=True, slots=True)
class Blow:
    """``peak``: its log2 norm, fixed point; ``loss``: half way up from the loss before to its own.

    ``loss`` is None if the loss did not jump in that report. ``faded``: within 6 reports the norm
    fell by 2 bits, and the loss half of the way back. ``count``: blows that followed within 64
    reports of each other, the first at ``ordinal``, the newest at ``last``.
    """

    ordinal: int
    step: int
    last: int
    peak: int
    loss: int | None
    faded: bool = False
    count: int = 1

    @property
    def in_loss(self) -> bool:
        """Whether the loss jumped in the same report."""
        return self.loss is not None

    def fades(self, ordinal: int) -> bool:
        """Whether it has come down at once, or still may at this report."""
        return self.faded or ordinal - self.ordinal <= FADES_WITHIN


@dataclass(frozen=True, slots=True)
class Blows:
    """The newest blow, and the last known log2 norm and update ratio (None: not known)."""

    newest: Blow | None = None
    norm: int | None = None
    ratio: int | None = None

    def advance(self, view: View, rows: slice) -> Blows:
        """Take rows of a view into memory."""
        norm, ratio = view.norm, view.ratio
        hit = norm.z[rows] >= NORM_Z
        first = int(view.ordinal[rows.start])
        waits = self.newest is not None and not self.newest.faded and self.newest.fades(first)
        newest = self._followed(view, rows) if waits or hit.any() else self.newest
        return Blows(newest, _last(norm, rows, self.norm), _last(ratio, rows, self.ratio))

    def _followed(self, view: View, rows: slice) -> Blow | None:
        norm, ratio, blow = view.norm, view.ratio, self.newest
        for row in range(*rows.indices(len(view))):
            past = slice(rows.start, row)
            before, update = _last(norm, past, self.norm), _last(ratio, past, self.ratio)
            usual = update is None or update - ratio.median <= bits(_USUAL_BITS)
            if norm.ok[row] and before is not None:
                blow = _struck(view, row, blow, before, usual=usual) or _fading(view, row, blow)
        return blow


def _last(track: Track, rows: slice, before: int | None) -> int | None:
    """The newest known value of some rows; ``before`` if there is none."""
    known = track.ok[rows].nonzero()[0]
    return int(track.y[rows][known[-1]]) if len(known) else before


def _struck(view: View, row: int, blow: Blow | None, before: int, *, usual: bool) -> Blow | None:
    """The blow of this report, if it is one; one soon after another belongs to the same series."""
    norm, ordinal, y = view.norm, int(view.ordinal[row]), int(view.norm.y[row])
    in_loss = bool(view.loss.z[row] >= LOSS_Z)
    rise = y - max(norm.median, before)
    if norm.z[row] < NORM_Z or rise < bits(RISE_BITS if in_loss else ALONE_BITS):
        return None
    if blow is not None and blow.faded and ordinal - blow.last <= SERIES:
        return replace(blow, last=ordinal, count=blow.count + 1)
    half = (int(view.loss.y[row]) + view.loss.median) // 2 if in_loss else None
    return Blow(ordinal, int(view.step[row]), ordinal, y, half) if usual else None


def _fading(view: View, row: int, blow: Blow | None) -> Blow | None:
    if blow is None or blow.faded or not blow.fades(int(view.ordinal[row])):
        return blow
    calmer = blow.peak - int(view.norm.y[row]) >= bits(FADE_BITS)
    back = blow.loss is None or int(view.loss.y[row]) <= blow.loss
    return replace(blow, faded=True) if calmer and back else blow
