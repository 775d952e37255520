"""init-gain-profile: the initial weights already amplify the signal layer after layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.columns import per_table
from gradwatch_service.detect.fixedpoint import power
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, FloatArray, IntArray, Layer, LayerTable, Severity

# The factor by which an activation shrinks the root mean square of its input (He et al. 2015).
ACTIVATION_GAIN = {
    "": 2**-0.5, "relu": 2**-0.5, "leakyrelu": 2**-0.5, "gelu": 0.675, "silu": 0.616,
    "linear": 1.0, "identity": 1.0, "tanh": 1.0,
}  # fmt: skip
CHAIN_KINDS = frozenset({"", "linear", "conv", "head"})
FIRST = 32


@dataclass(frozen=True, slots=True)
class InitGainProfile:
    """Σ log2 of the layers' gain, forward (‖W‖/√n_out · c) or backward (‖W‖/√n_in · c).

    Over the plain weight layers: not normalised, not residual. Judged once, on the first of the
    first 32 reports that carries weight norms of at least ``min_layers`` of them; a warning from
    6.1 bits, an error from 10. Not beyond step 32: such weights have been trained. Ends after 32
    reports. The state tells whether it was judged.

    Source: He et al. 2015 (arXiv 1502.01852) and Glorot & Bengio 2010, the gain that keeps the
    signal as large as it was; the limits: Gradwatch (6.1 bits are AutoTrainer's factor of 70).
    """

    id: ClassVar[str] = "init-gain-profile"
    clear_after: ClassVar[int] = 32
    warning_bits: float = settable(
        6.1,
        "gain of a fresh net from end to end, in powers of two, for a warning",
        2.0,
        64.0,
        "bits",
    )
    error_bits: float = settable(
        10.0,
        "gain of a fresh net from end to end, in powers of two, for an error",
        2.0,
        64.0,
        "bits",
    )
    min_layers: int = 3

    def init(self, _layers: LayerTable) -> bool:
        """Not judged yet."""
        return False

    def update(self, state: bool, view: View) -> tuple[bool, Signal]:
        """Judge the first set of weight norms."""
        norms = view.stat("weight_norm")
        if state or norms is None or view.ordinal[0] >= FIRST:
            return state, quiet(view)
        columns = chain(view.layers)
        known = np.isfinite(norms[:, columns]) & (norms[:, columns] > 0)
        known &= (view.step <= FIRST)[:, None]
        enough = known.sum(axis=1) >= self.min_layers
        if not enough.any():
            return state, quiet(view)
        row = int(enough.argmax())
        columns = columns[known[row]]
        gains = gain_bits(view.layers, columns, norms[row].astype(np.float64))
        worst = gains[int(gains.sum(axis=1).argmax())]
        total = float(worst.sum())
        judged = np.arange(len(view)) == row
        level = levels(
            view,
            (Severity.WARNING, judged & (total >= self.warning_bits)),
            (Severity.ERROR, judged & (total >= self.error_bits)),
        )

        def describe(at: int) -> Sighting:
            order = columns[np.argsort(-worst, kind="stable")]
            return self._describe(view, int(view.step[at]), order, total)

        return True, Signal(level, ~judged, describe)

    def _describe(self, view: View, step: int, columns: IntArray, total: float) -> Sighting:
        name = view.layers.names[columns[0]]
        text = (
            f"the initial weights amplify the signal by {power(total):.3g} over {len(columns)} "
            f"layers ({total:.1f} bits, about 0 is right); most in {name}"
        )
        fact = Evidence("init-gain-profile", text, step, total, self.warning_bits, name)
        return Sighting((fact,), tuple(columns.tolist()))


@per_table
def chain(layers: LayerTable) -> IntArray:
    """Columns of the plain weight layers in depth order: not normalised, not residual, int64[K]."""
    columns = [index for index, layer in enumerate(layers.layers) if _is_plain(layer)]
    return np.array(sorted(columns, key=lambda index: int(layers.depth[index])), dtype=np.int64)


def _is_plain(layer: Layer) -> bool:
    matrix = layer.kind in CHAIN_KINDS and len(layer.shape) > 1 and layer.numel > 0
    return matrix and not layer.normalised and not layer.residual


def gain_bits(layers: LayerTable, columns: IntArray, norms: FloatArray) -> FloatArray:
    """log2 gain of each layer of the chain, forward and backward: float64[2, K].

    The first layer has no part backward: nobody needs the gradient of the input.
    """
    shapes = [layers.layers[column].shape for column in columns]
    activation = [layers.layers[column].activation.lower() for column in columns]
    c = np.log2([ACTIVATION_GAIN.get(name, 2**-0.5) for name in activation])
    size = np.log2(norms[columns])
    forward = size - np.log2([shape[0] for shape in shapes]) / 2 + c
    backward = size - np.log2([shape[1] for shape in shapes]) / 2 + c
    backward[0] = 0.0
    return np.stack([forward, backward])
