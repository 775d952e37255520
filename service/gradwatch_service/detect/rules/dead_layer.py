"""dead-layer: a layer gets no gradient any more, or all but a few of its elements get none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.block import upper_median_of
from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.detect.fixedpoint import FLOOR, Fixed
from gradwatch_service.detect.rule import (
    Sighting,
    Signal,
    last_row,
    levels,
    quiet,
    run_lengths,
    throughout,
)
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.update_ratio import weights
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    BoolArray,
    Evidence,
    Float32Array,
    IntArray,
    Layer,
    LayerTable,
    Severity,
)

LOOK_EVERY = 64
SUDDEN = 0.5
NET = "dead-net"  # the fact that most layers are dead


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of each layer, [L]; ``dying``: whether the last block showed the fault.

    ``alive``: in some block most gradients were not 0; ``silent``: gradients of exactly 0 in a row;
    ``early``: zero fraction of the first block; ``before`` float32[2, L]: of the last two looks, 64
    reports apart, while there were not too many zeros (both NaN until then); ``high``: blocks in a
    row with too many; ``net``: reports in a row in which half of all layers had a gradient of 0.
    """

    alive: BoolArray
    silent: IntArray
    early: Float32Array
    before: Float32Array
    high: IntArray
    dying: bool = False
    net: int = 0


@dataclass(frozen=True, slots=True)
class DeadLayer:
    """Zero fraction of a weight layer's gradient ≥ .9, or ≥ .5 and risen by .25, or all is zero.

    Of the fraction block medians count, two blocks in a row, or one that is up by .5. What was
    above .9 from the start must be above .98, as some layers have sparse inputs. Risen: within 64
    to 128 reports, from the 192nd on; in healthy nets the zeros of deep layers creep up to .8 over
    hundreds of reports. All zero: for 16 reports, in a layer that had a gradient in most reports
    before. Half of all layers at once for 6 reports: the net is dead, an error. Not judged:
    embeddings and experts, which most batches leave out; layers that never had a gradient (frozen);
    reports in which no layer has one (a skipped or accumulating step). Ends after two blocks (32
    reports) without.

    Source: AUTOTRAINER's dying ReLU (Zhang et al. 2021: a zero fraction of .7); SageMaker
    Debugger's DeadRelu. The other limits: Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "dead-layer"
    clear_after: ClassVar[int] = 32
    dead: float = settable(
        0.9, "share of zeros in a layer's gradient at which it is dead", 0.5, 1.0, "share"
    )
    born_dead: float = 0.98
    dying: float = 0.5
    risen: float = 0.25
    warm_up: int = 192
    blocks: int = 2
    silent: int = settable(
        16, "reports on end without a gradient at which a layer is dead", 4, 256, "reports"
    )
    net_silent: int = 6

    def init(self, layers: LayerTable) -> Life:
        """Nothing known of any layer."""
        return _grown(_NOTHING, len(layers))

    def update(self, state: Life, view: View) -> tuple[Life, Signal]:
        """Judge the net at each report, the layers where a block closes."""
        calm, streak = throughout(view, holds=not state.dying), _net(state, view)
        if streak[-1] != state.net:
            state = replace(state, net=int(streak[-1]))
        net = streak >= self.net_silent
        state, dying, share = self._block(state, view)
        if not (len(dying) or net.any()):
            return state, quiet(view, calm)

        def describe(row: int) -> Sighting:
            if net[row]:
                return self._describe_net(view, row)
            return self._describe(view, int(view.step[row]), dying, share)

        layers = last_row(view) & (len(dying) > 0)
        level = levels(view, (Severity.WARNING, layers), (Severity.ERROR, net))
        return state, Signal(level, calm & ~net, describe)

    def _block(self, state: Life, view: View) -> tuple[Life, IntArray, Float32Array]:
        """Where a block closes: the layers' lives, which are dying, and their zero fractions."""
        if view.block is None:
            return state, *_NONE_DIES
        norm, zeros = view.block.rows.get("grad_norm"), view.block.values("grad_zero")
        looks = zeros is not None and (view.ordinal[-1] + 1) % LOOK_EVERY == 0
        if (norm is None and zeros is None) or not (looks or self._dies(state, norm, zeros)):
            return state, *_NONE_DIES
        zero, measured, share = _gradients(len(view.layers), norm, zeros)
        state = _grown(state, len(view.layers))
        high = self._high(state, share, late=bool(view.ordinal[-1] >= self.warm_up))
        state = _lived(state, zero, measured, share, high)
        if looks:
            state = replace(state, before=_looked(state, share))
        gone = state.alive & (state.silent >= self.silent)
        high = state.alive & (state.high >= self.blocks)
        dying = np.flatnonzero(_judged(view.layers) & (gone | high))
        state = replace(state, dying=len(dying) > 0)
        return state, dying, np.where(gone, np.float32(1.0), share)

    def _dies(self, state: Life, norm: Fixed | None, zeros: Float32Array | None) -> bool:
        """Whether the block needs a closer look; False: every layer was well and still is."""
        if norm is None or len(state.alive) != norm.shape[1]:
            return True
        if state.high.any() or state.silent.any() or not state.alive.all():
            return True
        if norm.min(initial=EMPTY) <= FLOOR:
            return True
        return zeros is not None and self._has_many(state, zeros)

    def _has_many(self, state: Life, zeros: Float32Array) -> bool:
        """Whether some fraction is near a limit, or not known, or the first there is."""
        if np.isnan(state.early).any():
            return True
        if zeros.max(initial=0.0) < self.dying:
            return False
        limit = np.fmin(np.maximum(_least(state) + self.risen, self.dying), self.dead)
        return not (zeros < limit).all()

    def _high(self, state: Life, share: Float32Array, *, late: bool) -> BoolArray:
        """Layers with too many zeros in this block."""
        limit = np.where(state.early >= self.dead, self.born_dead, self.dead)
        limit[np.isnan(state.early) & (share >= self.dead)] = self.born_dead
        risen = (share >= self.dying) & (share >= _least(state) + self.risen)
        return np.asarray((share >= limit) | (risen & late))

    def _describe_net(self, view: View, row: int) -> Sighting:
        """The net is dead: which layers get no gradient."""
        grad = view.stats["grad_norm"]
        columns = np.flatnonzero(_judged(view.layers) & (grad[row] == 0))
        name, step = view.layers.names[columns[0]], int(view.step[row])
        text = (
            f"{len(columns)} of {int(_judged(view.layers).sum())} layers, {name} first, have got "
            f"no gradient at all for {self.net_silent} reports"
        )
        dead = Evidence(NET, "the net is dead", step, len(columns), layer=name)
        facts = (Evidence("dead-layer", text, step, 1.0, layer=name), dead)
        return Sighting(facts, tuple(columns.tolist()))

    def _describe(self, view: View, step: int, dying: IntArray, share: Float32Array) -> Sighting:
        order = dying[np.argsort(-share[dying], kind="stable")]
        name, worst = view.layers.names[order[0]], float(share[order[0]])
        what = "gets no gradient at all" if worst == 1.0 else f"{worst:.0%} of its gradient is zero"
        text = f"{name}: {what}; {len(order)} of {len(view.layers)} layers are dead or dying"
        fact = Evidence("dead-layer", text, step, worst, self.dying, name)
        return Sighting((fact,), tuple(order.tolist()))


def _net(state: Life, view: View) -> IntArray:
    """Reports in a row in which half of the layers had a gradient of exactly 0, but not all: [n].

    Counted are layers that had a gradient before; a report without gradients counts for nothing.
    """
    grad = view.stat("grad_norm")
    if grad is None or not (state.net or np.count_nonzero(grad) < grad.size):
        return np.full(len(view), state.net, dtype=np.int64)
    judged = _judged(view.layers) & grown(state.alive, len(view.layers), False)
    if not judged.any():
        return np.zeros(len(view), dtype=np.int64)
    zero = (grad == 0) & judged
    busy = np.asarray((grad > 0).any(axis=1))
    half = 2 * zero.sum(axis=1) >= judged.sum()
    return run_lengths(half & busy, state.net, busy)


def _lived(
    state: Life, zero: IntArray, measured: IntArray, share: Float32Array, high: BoolArray
) -> Life:
    """The layers' lives with one more block."""
    unknown = np.isnan(share)
    sudden = share >= _least(state) + SUDDEN  # needs no second block
    return replace(
        state,
        alive=state.alive | (2 * zero < measured) | (share < 1),
        silent=np.where(zero == measured, state.silent + zero, 0),
        early=np.where(np.isnan(state.early), share, state.early),
        high=np.where(unknown, state.high, np.where(high, state.high + 1 + sudden, 0)),
    )


def _least(state: Life) -> Float32Array:
    """The smaller zero fraction of the last two looks, NaN where there was none: [L]."""
    return np.asarray(np.fmin.reduce(state.before, axis=0))


def _looked(state: Life, share: Float32Array) -> Float32Array:
    """The zero fractions of the last two looks; of a layer with too many, those from before."""
    rolled = np.stack([state.before[1], share])
    return np.where((state.high > 0) | np.isnan(share), state.before, rolled)


_NONE_DIES: tuple[IntArray, Float32Array] = np.empty(0, np.int64), np.empty(0, np.float32)
_NOTHING = Life(
    alive=np.empty(0, np.bool_),
    silent=np.empty(0, np.int64),
    early=np.empty(0, np.float32),
    before=np.empty((2, 0), np.float32),
    high=np.empty(0, np.int64),
)


def _grown(life: Life, width: int) -> Life:
    if len(life.alive) == width:
        return life
    return replace(
        life,
        alive=grown(life.alive, width, False),
        silent=grown(life.silent, width, 0),
        early=grown(life.early, width, np.nan),
        before=grown(life.before, width, np.nan),
        high=grown(life.high, width, 0),
    )


def _gradients(
    width: int, norm: Fixed | None, share: Float32Array | None
) -> tuple[IntArray, IntArray, Float32Array]:
    """Per layer: gradients of exactly 0, gradients measured, median zero fraction.

    Reports in which every layer measured has a gradient of 0 are left out.
    """
    shape = (1, width)
    norm = np.full(shape, EMPTY, np.int32) if norm is None else norm
    share = np.full(shape, np.nan, np.float32) if share is None else share
    zero, measured = norm == FLOOR, norm != EMPTY
    busy = (measured & ~zero).any(axis=1, keepdims=True) | (share < 1).any(axis=1, keepdims=True)
    measured = measured & busy
    return (
        (zero & measured).sum(axis=0),
        measured.sum(axis=0),
        upper_median_of(np.where(busy, share, np.float32(np.nan))),
    )


@per_table
def _judged(layers: LayerTable) -> BoolArray:
    """Weight layers that every batch should reach: bool[L]."""
    judged = np.zeros(len(layers), dtype=np.bool_)
    judged[[column for column in weights(layers) if _is_reached(layers.layers[column])]] = True
    return judged


def _is_reached(layer: Layer) -> bool:
    name = layer.name.lower()
    return layer.kind not in {"embedding", "expert"} and "expert" not in name and "emb" not in name
