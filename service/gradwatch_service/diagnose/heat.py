"""Which layers run hot and since when: what names the first mover of an explosion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from gradwatch_service.detect.baseline import EMPTY, Baseline
from gradwatch_service.detect.fixedpoint import Fixed, bits
from gradwatch_service.detect.view import LayerTrack, View
from gradwatch_service.domain import BoolArray, Float32Array, IntArray

HOT_Z = 6.0
HOT_BITS = 1.0
GAP = 8
COLD = -(10**9)


@dataclass(frozen=True, slots=True)
class Heat:
    """Per layer: ``first`` int32[L], its first log2 norm (EMPTY: none); hot ``since``, ``last``.

    A layer is hot at a report with z ≥ 6 and ≥ 1 bit over its median; a hot stretch ends after 8
    reports without. ``since`` and ``last`` are ordinals, int64[L]. ``bound`` float32[L]: no layer
    with a smaller gradient is hot, worked out from the baseline ``usual``.
    """

    first: Fixed
    since: IntArray
    last: IntArray
    bound: Float32Array = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    usual: Baseline | None = None

    @staticmethod
    def empty(layers: int) -> Heat:
        """Nothing seen of any layer."""
        return Heat(
            first=np.full(layers, EMPTY, dtype=np.int32),
            since=np.full(layers, COLD, dtype=np.int64),
            last=np.full(layers, COLD, dtype=np.int64),
        )

    def grown(self, source: IntArray) -> Heat:
        """Rearrange for a new table: new column i was old column ``source[i]``, -1 if new."""
        fresh = Heat.empty(len(source))
        kept = source >= 0
        for name in ("first", "since", "last"):
            getattr(fresh, name)[kept] = getattr(self, name)[source[kept]]
        return fresh

    def follow(self, view: View, rows: slice) -> Heat:
        """Take the rows of a view into memory; look closer only where that can change anything."""
        grad = view.stat("grad_norm")
        if grad is None:
            return self
        known = self.usual is not None and self.usual.says_the_same(view.usual)
        heat = self if known else self._bounded(view.usual)
        if (heat.first != EMPTY).all() and not (np.abs(grad[rows]) >= heat.bound).any():
            return heat
        return heat.advance(view.layer, rows, view.ordinal[rows])

    def _bounded(self, usual: Baseline) -> Heat:
        bound = usual.bound(np.maximum(HOT_Z * usual.unit, bits(HOT_BITS)))
        return replace(self, bound=bound, usual=usual.summary())

    def advance(self, track: LayerTrack, rows: slice, ordinal: IntArray) -> Heat:
        """Take the rows of a view into memory; ``ordinal`` int64[k] of these rows."""
        heat = self._first_values(track, rows)
        hot = track.z[rows] >= HOT_Z
        if not hot.any():
            return heat
        hot &= track.y[rows] - track.median >= bits(HOT_BITS)
        since, last = heat.since.copy(), heat.last.copy()
        for row in np.flatnonzero(hot.any(axis=1)):
            fresh = hot[row] & (ordinal[row] - last > GAP)
            since[fresh] = ordinal[row]
            last[hot[row]] = ordinal[row]
        return replace(heat, since=since, last=last)

    def _first_values(self, track: LayerTrack, rows: slice) -> Heat:
        unknown = self.first == EMPTY
        ok = track.ok[rows]
        found = unknown & ok.any(axis=0) if unknown.any() else unknown
        if not found.any():
            return self
        columns = np.flatnonzero(found)
        first = self.first.copy()
        first[columns] = track.y[rows][ok[:, columns].argmax(axis=0), columns]
        return replace(self, first=first)

    def hot(self, ordinal: int) -> BoolArray:
        """Layers in a hot stretch at ``ordinal``, bool[L]."""
        return np.asarray(ordinal - self.last <= GAP)

    def rise(self, track: LayerTrack, row: int) -> Fixed:
        """Rise of each layer over its first value at ``row``, fixed point [L]; 0 where unknown."""
        known = track.ok[row] & (self.first != EMPTY)
        return np.where(known, track.y[row] - np.where(known, self.first, 0), 0).astype(np.int32)
