"""adam-moment-lag: the optimizer's second moment lags behind the gradients it should scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.baseline import BLOCK
from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.detect.fixedpoint import ONE_BIT, log2_fixed
from gradwatch_service.detect.rule import (
    Sighting,
    Signal,
    last_row,
    levels,
    quiet,
    run_lengths,
)
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.update_ratio import is_weight
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    BoolArray,
    Evidence,
    FloatArray,
    IntArray,
    LayerTable,
    Severity,
)


@dataclass(frozen=True, slots=True)
class Lag:
    """Reports in a row: of each of the ``layers`` [L], by the block; of most layers, as of now."""

    layers: IntArray
    streak: int = 0


@dataclass(frozen=True, slots=True)
class AdamMomentLag:
    """rms(g / √v) of a weight layer ≥ 2.3 for 32 reports on end, or of most layers ≥ 5 for 8.

    1 is right. g is the gradient as it was clipped, v the second moment before the update
    (``moment_rms``). One layer is a warning, judged by the block; most (their lower median) are an
    error, at once. Every report must show it: units that were dead for long have a v of nothing,
    and reach far higher in single reports. Not before the 100th report; not in embeddings, whose
    rows take turns. Ends after 32 reports without.

    Source: Wortsman et al. 2023 (StableAdamW, arXiv 2304.13013): loss spikes follow where the RMS
    of the update passes 2.3. How long and in how many layers: Gradwatch, measured on healthy runs.
    """

    id: ClassVar[str] = "adam-moment-lag"
    clear_after: ClassVar[int] = 32
    rms: float = settable(
        2.3, "rms of gradient over √v in one layer; 1 is right", 1.5, 10.0, "times"
    )
    lasting: int = settable(32, "reports on end that must show it", 8, 512, "reports")
    most_rms: float = 5.0
    most_lasting: int = 8
    warm_up: int = 100

    def init(self, layers: LayerTable) -> Lag:
        """No report so far."""
        return Lag(np.zeros(len(layers), dtype=np.int64))

    def update(self, state: Lag, view: View) -> tuple[Lag, Signal]:
        """Judge most layers at each report, single ones where a block closes."""
        rested = not (state.layers >= self.lasting).any()
        rms, holds, streak = self._most(state, view)
        judged = view.block is not None and view.block.measures("moment_rms")
        if rested and streak is None and not judged:
            return state, quiet(view)
        layers, single = self._single(state, view)
        if layers is not state.layers or streak is not None:
            state = Lag(layers, state.streak if streak is None else int(streak[-1]))
        calm = ~holds & rested
        most = _NONE[: len(view)] if streak is None else holds & (streak >= self.most_lasting)
        lags = np.flatnonzero(single >= self.rms)
        if not most.any() and not len(lags):
            return state, quiet(view, calm)
        by_block = last_row(view) & (len(lags) > 0)
        level = levels(view, (Severity.WARNING, by_block), (Severity.ERROR, most))

        def describe(row: int) -> Sighting:
            return self._describe(view, row, rms[row] if most[row] else single)

        return state, Signal(level, calm, describe)

    def _most(self, state: Lag, view: View) -> tuple[FloatArray, BoolArray, IntArray | None]:
        """rms(g / √v) [n, L], where that of most layers is high, and for how many reports."""
        values = view.stat("moment_rms")
        if values is None or not (state.streak or (values >= self.most_rms).any()):
            return np.empty((len(view), 0)), _NONE[: len(view)], None
        judged = np.isfinite(values) & _judged(view.layers)
        rms = np.where(judged, values * _clipping(view)[:, None], np.nan)
        count = judged.sum(axis=1)
        holds = 2 * (rms >= self.most_rms).sum(axis=1) > count
        holds &= view.ordinal >= self.warm_up
        return rms, holds, run_lengths(holds, state.streak, count > 0)

    def _single(self, state: Lag, view: View) -> tuple[IntArray, FloatArray]:
        """Reports in a row of each layer, [L]; where long enough, its least rms(g / √v), else 0."""
        values = None if view.block is None else view.block.values("moment_rms")
        if view.block is None or values is None or view.ordinal[-1] < self.warm_up:
            return state.layers, _NOTHING
        least = np.fmin.reduce(values, axis=0)
        if not state.layers.any() and not (least >= self.rms).any():
            return state.layers, _NOTHING
        least = np.fmin.reduce(values * view.block.clipping[:, None], axis=0)
        count = (~np.isnan(values)).sum(axis=0) * _judged(view.layers)
        layers = np.where(least < self.rms, 0, grown(state.layers, len(view.layers), 0) + count)
        return layers, np.where(layers >= self.lasting, np.nan_to_num(least), 0.0)

    def _describe(self, view: View, row: int, rms: FloatArray) -> Sighting:
        lags = np.flatnonzero(rms >= self.rms)
        order = lags[np.argsort(-rms[lags], kind="stable")]
        name, worst, step = view.layers.names[order[0]], float(rms[order[0]]), int(view.step[row])
        text = (
            f"the gradients of {name} are {worst:.2g} times what the optimizer's second moment "
            f"expects (1 is right); {len(order)} of {len(view.layers)} layers are like that"
        )
        fact = Evidence("adam-moment-lag", text, step, worst, self.rms, name)
        return Sighting((fact,), tuple(order.tolist()))


_NONE: BoolArray = np.zeros(BLOCK, dtype=np.bool_)
_NOTHING: FloatArray = np.empty(0)


def _clipping(view: View) -> FloatArray:
    """What clipping left of each report's gradient, float64[n], 1 where it was not clipped."""
    limit = view.measured("clip_norm")
    clipped = (limit > 0) & view.norm.ok
    left = np.where(clipped, log2_fixed(limit) - view.norm.y.astype(np.int64), 0)
    return np.asarray(np.exp2(np.minimum(left, 0) / ONE_BIT))


@per_table
def _judged(layers: LayerTable) -> BoolArray:
    """Weight layers without embeddings: bool[L]."""
    return is_weight(layers) & [layer.kind != "embedding" for layer in layers.layers]
