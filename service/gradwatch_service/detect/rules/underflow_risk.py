"""underflow-risk: gradients in half precision come near the smallest numbers it can hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.block import Block
from gradwatch_service.detect.columns import per_table
from gradwatch_service.detect.fixedpoint import FLOOR, ONE_BIT, as_bits, log2_fixed
from gradwatch_service.detect.formats import HALF, HALF_LEAST_BITS, HALF_NORMAL_BITS
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.rules.vanishing_absolute import learned_bits
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.update_ratio import weights
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, FloatArray, IntArray, LayerTable, Severity

_AUTOCAST = frozenset({"float32", "fp32", "float", ""})


@dataclass(frozen=True, slots=True)
class Scaling:
    """The newest log2 loss scale, whether one ever differed from 1, and the blocks in a row."""

    scale: int = 0
    scaled: bool = False
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class UnderflowRisk:
    """log2(gradient rms · loss scale) below -14 (warning) or -24 (error) in a quarter of layers.

    Of half precision only: layers of that format, and those of float32 under autocast. That they
    are is told by a loss scale other than 1, or by the largest gradients of these layers: all of
    them whole multiples of 2^-24 / scale. Block medians of weight layers, two blocks in a row. A
    layer whose gradient is exactly 0 is not judged: it is frozen, or dead. A loss below 1 lowers
    both limits in proportion: a net that has learned has small gradients. Ends after two blocks
    (32 reports) without.

    Source: the smallest normal and the smallest number of IEEE 754 binary16; loss scaling as in
    Micikevicius et al. 2017 (arXiv 1710.03740). The share: Gradwatch, as the gradient of single
    layers (attention keys' biases) is nothing but rounding in healthy nets.
    """

    id: ClassVar[str] = "underflow-risk"
    clear_after: ClassVar[int] = 32
    warning_bits: float = HALF_NORMAL_BITS
    error_bits: float = HALF_LEAST_BITS
    share: float = settable(
        0.25, "share of layers whose gradients are too small for the format", 0.05, 1.0, "share"
    )
    blocks: int = 2

    def init(self, _layers: LayerTable) -> Scaling:
        """No scale, no block so far."""
        return Scaling()

    def update(self, state: Scaling, view: View) -> tuple[Scaling, Signal]:
        """Judge the layers where a block closes."""
        calm = throughout(view, holds=state.blocks == 0)
        if view.block is None:
            return state, quiet(view, calm)
        state = _follow(state, view.block)
        every, certain = _half_layers(view.layers, state)
        size = _scaled_rms(view.block, state.scale)[every]
        # None is known, or all are over the highest limit there may be.
        least = float(size.min(initial=math.inf))
        if least == math.inf or (least >= self.warning_bits and not state.blocks):
            return state, quiet(view, calm)
        order = every[np.argsort(size, kind="stable")][: int(np.isfinite(size).sum())]
        learned, size = learned_bits(view.loss), np.sort(size)[: len(order)]
        # This many layers lie at or below the one that is judged.
        worst = float(size[math.ceil(self.share * len(order)) - 1]) - learned
        low = order[size < self.warning_bits + learned]
        if worst >= self.warning_bits or not (certain or _rounded(view.block, low, state)):
            return replace(state, blocks=0), quiet(view, calm)
        now = last_row(view) & (state.blocks + 1 >= self.blocks)
        level = levels(
            view, (Severity.WARNING, now), (Severity.ERROR, now & (worst < self.error_bits))
        )

        def describe(row: int) -> Sighting:
            return self._describe(view, int(view.step[row]), low, size)

        return replace(state, blocks=state.blocks + 1), Signal(level, calm, describe)

    def _describe(self, view: View, step: int, low: IntArray, size: FloatArray) -> Sighting:
        name, least = view.layers.names[low[0]], float(size[0])
        text = (
            f"in {len(low)} of {len(size)} layers the gradient is too small for half precision; "
            f"least in {name}: rms times loss scale 2^{least:.1f}, the format loses digits below "
            f"2^{HALF_NORMAL_BITS} and ends at 2^{HALF_LEAST_BITS}"
        )
        fact = Evidence("underflow-risk", text, step, least, self.warning_bits, name)
        return Sighting((fact,), tuple(low.tolist()))


def _follow(state: Scaling, block: Block) -> Scaling:
    """Take the newest loss scale that is a positive number."""
    reported = block.setting("loss_scale")
    scale = np.empty(0) if reported is None else reported[reported > 0]
    if not len(scale):
        return state
    scaled = state.scaled or bool((scale != 1.0).any())
    return replace(state, scale=int(log2_fixed(scale[-1:])[0]), scaled=scaled)


def _half_layers(layers: LayerTable, state: Scaling) -> tuple[IntArray, bool]:
    """Columns of the weight layers that may be in half precision, int64[K]; whether they are."""
    half, autocast = _formats(layers)
    if state.scaled:
        return autocast, True
    return (half, True) if len(half) else (autocast, False)


@per_table
def _formats(layers: LayerTable) -> tuple[IntArray, IntArray]:
    """The weight layers of that format, and those that may be under autocast as well."""
    every = weights(layers)
    formats = [layers.layers[column].dtype for column in every]
    half = [name in HALF for name in formats]
    autocast = [name in HALF | _AUTOCAST for name in formats]
    return every[half], every[autocast]


def _rounded(block: Block, columns: IntArray, state: Scaling) -> bool:
    """Whether the largest gradients of these layers were rounded to the smallest numbers there are.

    Gradients of that size in full precision are whole multiples of it by rare chance only.
    """
    largest = block.values("grad_max")
    if largest is None:
        return False
    largest = largest[:, columns][largest[:, columns] > 0]
    steps = largest * 2.0 ** (as_bits(state.scale) - HALF_LEAST_BITS)
    return len(steps) > 0 and bool((steps == np.rint(steps)).all())


def _scaled_rms(block: Block, scale: int) -> FloatArray:
    """log2 of gradient rms times loss scale, float64[L]; inf: not measured, or exactly 0."""
    size, known = block.rms_bits
    if known.any():
        known = known & (block.medians["grad_norm"] > FLOOR)
    if known.all():
        return size + as_bits(scale)
    size, rms = np.where(known, size, np.inf), block.median("grad_rms")
    if rms is not None:
        size = np.where(~known & (rms > 0), log2_fixed(rms) / ONE_BIT, size)
    return size + as_bits(scale)
