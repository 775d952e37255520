"""layer-spike: the gradient of single layers leaves its range, and the others keep theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gradwatch_service.detect.baseline import EMPTY, RING, Baseline, tail_limit
from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.detect.fixedpoint import FLOOR, Fixed, bits
from gradwatch_service.detect.rule import Levels, Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    BoolArray,
    Evidence,
    Float32Array,
    FloatArray,
    IntArray,
    LayerTable,
    Severity,
)

RECENT = 8  # gradients of a layer that are remembered, one bit each
_ALONE = frozenset({"embedding", "head"})
_COUNT = np.array([value.bit_count() for value in range(1 << RECENT)])
_AGE = np.array([value.bit_length() for value in range(1 << RECENT)])


@dataclass(frozen=True, slots=True)
class Range:
    """How far each layer usually strays, and what it has just done, [L].

    ``maxima`` float32[L, 64]: largest z of its last blocks, of which there were ``blocks``;
    ``limit``: zt; ``recent`` uint8: which of its last 8 gradients were spikes, newest in the lowest
    bit; ``bound``: below it no gradient can be a spike, worked out from the baseline ``usual``;
    ``closed``: the last block and the baseline it met, to be learned from with the next report.
    """

    maxima: Float32Array
    blocks: IntArray
    limit: FloatArray
    recent: NDArray[np.uint8]
    bound: Float32Array
    usual: Baseline | None = None
    closed: tuple[Fixed, Baseline] | None = None


@dataclass(frozen=True, slots=True)
class LayerSpike:
    """A layer's robust z ≥ zt + ½·max(0, log2(L / 16)) and ≥ 2 bits up, more than its neighbours.

    What the layers have in common (the lower median of their rises) is taken off first: where all
    move, gradient-spike sees it. zt is the tail guard of the layer's own noise. Information for a
    single report of an embedding or head; a warning for 3 of a layer's last 8 gradients, an error
    if the layer then makes half of the sum of squares. After an announced change information. Names
    the layers in the order in which they moved. Ends after 16 reports without a spike among any
    layer's last 8.

    Source: GLM-130B (Zeng et al. 2022, arXiv 2210.02414): gradient spikes of the embedding lead
    those of the loss. The common mode and 3 of 8: Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "layer-spike"
    clear_after: ClassVar[int] = 16
    rise_bits: float = settable(
        2.0, "least rise of a layer's gradient over its usual, in powers of two", 1.75, 16.0, "bits"
    )
    of_eight: int = 3
    share: float = settable(
        0.5, "share of all gradient from which on it is an error", 0.1, 1.0, "share"
    )
    usual_layers: int = 16

    def init(self, layers: LayerTable) -> Range:
        """No layer has a range yet."""
        return _grown(_NOTHING, len(layers))

    def update(self, state: Range, view: View) -> tuple[Range, Signal]:
        """Look closer where a gradient is above its layer's bound."""
        grad = view.stat("grad_norm")
        if state.usual is None or not state.usual.says_the_same(view.usual):
            state = self._bounded(state, view)
        if not state.recent.any() and (grad is None or not (grad >= state.bound).any()):
            return _close(state, view), quiet(view)
        track = view.layer
        above, limit = excess(track.y, track.ok, view.usual), self._limit(state)
        spike = (above >= bits(self.rise_bits)) & (above >= limit * view.usual.unit)
        recent = _remembered(state.recent, spike, track.ok)
        many = spike & (_COUNT[recent] >= self.of_eight)
        level = self._levels(view, spike, many)

        def describe(row: int) -> Sighting:
            moved = np.where(many[row].any(), many[row], spike[row]) * recent[row]
            return self._describe(view, row, moved, above[row] / view.usual.unit, limit)

        signal = Signal(level, np.asarray(recent.max(axis=1) == 0), describe)
        return _close(replace(state, recent=recent[-1]), view), signal

    def _limit(self, state: Range) -> FloatArray:
        """Of many layers one is far out more often."""
        many = max(len(state.limit) / self.usual_layers, 1.0)
        return state.limit + math.log2(many) / 2

    def _bounded(self, state: Range, view: View) -> Range:
        """The range in the view of a new baseline."""
        usual, state = view.usual, _grown(_learned(state), len(view.layers))
        far = np.maximum(self._limit(state) * usual.unit, bits(self.rise_bits))
        bound = usual.bound(far)
        bound[~_live(usual)] = np.inf
        return replace(state, bound=bound, usual=usual.summary())

    def _levels(self, view: View, spike: BoolArray, many: BoolArray) -> Levels:
        """One spike of an embedding or head is information, 3 of 8 are more."""
        lasts, expected = np.asarray(many.any(axis=1)), view.announced
        large = np.add.accumulate(many * _squares(view), axis=1)[:, -1] >= self.share
        return levels(
            view,
            (Severity.INFO, lasts | spike[:, _alone(view.layers)].any(axis=1)),
            (Severity.WARNING, lasts & ~expected),
            (Severity.ERROR, lasts & large & ~expected),
        )

    def _describe(
        self, view: View, row: int, moved: IntArray, z: FloatArray, limit: FloatArray
    ) -> Sighting:
        columns = np.flatnonzero(moved)
        columns = columns[np.lexsort((-z[columns], -_AGE[moved[columns]]))]
        first, step = int(columns[0]), int(view.step[row])
        name, share = view.layers.names[first], float(_squares(view)[row, first])
        others = f" and of {len(columns) - 1} more" if len(columns) > 1 else ""
        text = (
            f"the gradient of {name}{others} leaves its range while the other layers keep theirs "
            f"(robust z {z[first]:.1f}, limit {limit[first]:.1f})"
        )
        spike = Evidence("layer-spike", text, step, float(z[first]), float(limit[first]), name)
        text = f"{name} makes {share:.0%} of the sum of squared gradients"
        squares = Evidence("gradient-share", text, step, share, self.share, name)
        return Sighting((spike, squares), tuple(columns.tolist()))


def _close(state: Range, view: View) -> Range:
    """At the end of a block keep it."""
    rows = None if view.block is None else view.block.rows.get("grad_norm")
    return state if rows is None else replace(state, closed=(rows, view.usual.summary()))


def _learned(state: Range) -> Range:
    """Learn from the last block how far each layer strayed in it."""
    if state.closed is None or not state.closed[0].size:
        return state
    rows, usual = state.closed
    ok = rows != EMPTY
    strayed = excess(rows, ok, usual).max(axis=0) / usual.unit
    column = (ok.any(axis=0) & usual.ready).nonzero()[0]
    maxima, blocks = state.maxima.copy(), state.blocks.copy()
    maxima[column, blocks[column] % RING] = strayed[column]
    blocks[column] += 1
    limit = tail_limit(maxima, blocks, usual.seen)
    return replace(state, maxima=maxima, blocks=blocks, limit=limit, closed=None)


def excess(y: Fixed, ok: BoolArray, usual: Baseline) -> Fixed:
    """By how much each layer rose more than its neighbours, fixed point [n, L]; 0 if unknown.

    The rise over the layer's own median, less the lower median of the rises of all layers that were
    measured if that is positive. A gradient of exactly 0 is none.
    """
    unknown = ~(ok & (y > FLOOR) & _live(usual))
    rise = y - usual.median
    rise[unknown] = EMPTY
    count = rise.shape[1] - unknown.sum(axis=1)
    common = np.sort(rise, axis=1)[np.arange(len(rise)), np.maximum(count - 1, 0) // 2]
    above: Fixed = rise - np.maximum(common, 0)[:, None]
    above[unknown] = 0
    return above


def _live(usual: Baseline) -> BoolArray:
    """Layers with a range, and with a gradient in most reports: bool[L]."""
    return usual.ready & (usual.median > FLOOR)


def _remembered(recent: NDArray[np.uint8], spike: BoolArray, ok: BoolArray) -> NDArray[np.uint8]:
    """The last 8 gradients of each layer at each row, uint8[n, L]; one not measured is passed."""
    rows = np.empty(spike.shape, dtype=np.uint8)
    for row in range(len(spike)):
        recent = np.where(ok[row], recent << 1 | spike[row], recent).astype(np.uint8)
        rows[row] = recent
    return rows


def _squares(view: View) -> FloatArray:
    """Each layer's share of the sum of squared gradients, float64[n, L]."""
    grad = view.stat("grad_norm")
    shape = (len(view), len(view.layers))
    squares = np.zeros(shape) if grad is None else np.where(view.layer.ok, grad, 0.0) ** 2
    # One by one, as the pairwise sum of numpy may depend on the shape.
    total = np.add.accumulate(squares, axis=1)[:, -1:]
    return np.asarray(squares / np.where(total > 0, total, 1.0))


@per_table
def _alone(layers: LayerTable) -> BoolArray:
    """Layers of which a single spike says something: bool[L]."""
    return np.array([layer.kind in _ALONE for layer in layers.layers], dtype=np.bool_)


_NOTHING = Range(
    maxima=np.empty((0, RING), np.float32),
    blocks=np.empty(0, np.int64),
    limit=np.empty(0),
    recent=np.empty(0, np.uint8),
    bound=np.empty(0, np.float32),
)


def _grown(range_: Range, width: int) -> Range:
    if len(range_.blocks) == width:
        return range_
    return replace(
        range_,
        maxima=grown(range_.maxima.T, width, np.inf).T,
        blocks=grown(range_.blocks, width, 0),
        limit=grown(range_.limit, width, np.inf),
        recent=grown(range_.recent, width, 0),
        bound=grown(range_.bound, width, np.inf),
    )
