"""overflow-headroom: gradients come within a few bits of the largest number of their format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import Fixed, as_bits, bits, log2_fixed
from gradwatch_service.detect.formats import (
    element_limit,
    global_norm_limit,
    norm_limit,
    norm_over_rms,
)
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, Float32Array, FloatArray, LayerTable, Severity

_FAR = bits(4000.0)  # nothing measured: further than any number can be
_UNSCALED: FloatArray = np.ones(1)
_SMALL = 2.0**11  # float16 has 5 bits left here


@dataclass(frozen=True, slots=True)
class Held:
    """Whether the rule has ever held, and for a layer at that."""

    ever: bool = False
    by_layer: bool = False


@dataclass(frozen=True, slots=True)
class OverflowHeadroom:
    """limit - log2(largest gradient) - log2(loss scale) below 3 bits (warning) or 1 bit (error).

    The limit is that of the layer's format. Where ``grad_max`` was not measured the layer's norm
    stands in. A norm has a limit of its own, 2**64, at which a float32 sum of squares overflows.
    Ends after 32 reports with more than 4 bits; if it was a layer's gradient, reports without the
    layers do not count.

    Source: the largest finite numbers of IEEE 754 binary16, binary32 and of bfloat16; the margins:
    Gradwatch.
    """

    id: ClassVar[str] = "overflow-headroom"
    clear_after: ClassVar[int] = 32
    warning_bits: float = settable(
        3.0, "powers of two left below overflow for a warning", 0.5, 4.0, "bits"
    )
    error_bits: float = settable(
        1.0, "powers of two left below overflow for an error", 0.1, 4.0, "bits"
    )
    clear_bits: float = 4.0

    def init(self, _layers: LayerTable) -> Held:
        """Never yet."""
        return Held()

    def update(self, state: Held, view: View) -> tuple[Held, Signal]:
        """Measure the headroom of the layer nearest its limit, once any number is large."""
        if not state.ever and _all_small(view):
            return state, quiet(view)
        layer, norm = _layer_headroom(view), _norm_headroom(view)
        nearest_layer = layer.min(axis=1, initial=_FAR)
        nearest = np.minimum(nearest_layer, norm)
        by_layer = np.logical_or.accumulate(nearest_layer < bits(self.warning_bits))
        by_layer |= state.by_layer
        known = np.where(by_layer, nearest_layer, nearest) < _FAR
        level = levels(
            view,
            (Severity.WARNING, nearest < bits(self.warning_bits)),
            (Severity.ERROR, nearest < bits(self.error_bits)),
        )

        def describe(row: int) -> Sighting:
            columns = (int(layer[row].argmin()),) if nearest_layer[row] <= norm[row] else ()
            return self._describe(view, row, as_bits(nearest[row]), columns)

        calm = nearest > bits(self.clear_bits)
        state = Held(state.ever or bool(level.any()), bool(by_layer[-1]))
        return state, Signal(level, calm, describe, known)

    def _describe(self, view: View, row: int, left: float, columns: tuple[int, ...]) -> Sighting:
        name = view.layers.names[columns[0]] if columns else None
        subject = f"the gradient of {name}" if columns else "the global gradient norm"
        side = "below" if left >= 0 else "beyond"
        text = (
            f"{subject} is {abs(left):.1f} bits (a factor {2.0 ** abs(left):.3g}) {side} overflow"
        )
        step = int(view.step[row])
        fact = Evidence("overflow-headroom", text, step, left, self.warning_bits, name)
        return Sighting((fact,), columns)


def _all_small(view: View) -> bool:
    """Whether no gradient, times the loss scale, comes near the end of even the smallest format."""
    limit = _SMALL / np.fmax.reduce(view.scalars.get("loss_scale", _UNSCALED), initial=1.0)
    gradients: list[FloatArray | Float32Array] = [view.scalar("grad_norm")]
    gradients += [view.stats[name] for name in ("grad_norm", "grad_max") if name in view.stats]
    return not any(np.count_nonzero(np.abs(values) >= limit) for values in gradients)


def _layer_headroom(view: View) -> Fixed:
    """Bits left before each layer overflows, fixed point [n, L]; ``_FAR`` where not measured."""
    layers, norm = view.layers, np.where(view.layer.ok, view.layer.y, -2 * _FAR)
    element = norm - norm_over_rms(layers)
    largest = view.stat("grad_max")
    if largest is not None:
        element = np.where(np.isfinite(largest), log2_fixed(largest), element)
    scaled = element + _loss_scale(view)[:, None]
    left = np.minimum(element_limit(layers) - scaled, norm_limit(layers) - norm)
    return np.minimum(left, _FAR)


def _norm_headroom(view: View) -> Fixed:
    """Bits left before the global norm overflows, fixed point [n]; ``_FAR`` where not measured."""
    return np.where(view.norm.ok, global_norm_limit(view.layers) - view.norm.y, np.int32(_FAR))


def _loss_scale(view: View) -> Fixed:
    """log2 of the loss scale, fixed point [n] or [1]; 0 where there is none."""
    scale = view.scalars.get("loss_scale", _UNSCALED)
    return np.where((scale > 0) & (scale < np.inf), log2_fixed(scale), np.int32(0))
