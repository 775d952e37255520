"""loss-spike: the loss jumps far outside its own noise for a step or a few."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import bits, log2_bits
from gradwatch_service.detect.rule import Sighting, Signal, newest, quiet, throughout
from gradwatch_service.detect.spikes import (
    MEMORY,
    Rows,
    Spike,
    Spikes,
    class_facts,
    follow,
    graded,
    waits,
)
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Track, View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity


@dataclass(frozen=True, slots=True)
class LossSpike:
    """Robust z of the loss at or above tail guard and ``threshold``, a rise of ≥ 10 % and .15 bit.

    3.5 scales are enough where the loss doubles, the gradient norm is 4 scales up in the same
    report, and both together are 8, in a run without a spike in the 1,024 reports before: noise in
    both at once is as rare.

    A loss that can be negative is judged linearly. Classed over 16 values as ``gradient-spike`` is,
    by the fact ``spike-class``. Information as long as it is isolated, or the gradient norm does
    not jump with it (z ≥ 4); else a warning, and an error if it is escalating. Ends after 16
    reports below 3 scales.

    Source: loss spikes as PaLM (arXiv 2204.02311) and llm-foundry's KillLossSpike describe them;
    limits and classes Gradwatch, measured by benchmarks/detection.
    """

    id: ClassVar[str] = "loss-spike"
    clear_after: ClassVar[int] = 16
    threshold: float = settable(
        6.0, "robust z of the loss; never below what its own noise asks for", 6.0, 100.0
    )
    rise: float = settable(0.1, "least rise of the loss, relative", 0.01, 100.0, "share")
    rise_bits: float = 0.15
    norm_z: float = 4.0
    joint_z: float = 3.5
    sum_z: float = 8.0
    clear_z: float = 3.0

    def init(self, _layers: LayerTable) -> Spikes:
        """No spike so far."""
        return Spikes()

    def update(self, state: Spikes, view: View) -> tuple[Spikes, Signal]:
        """Compare each loss with the baseline of the blocks before."""
        loss = view.loss
        calm = loss.ok & (loss.z < self.clear_z)
        least = self._least(loss)
        limit = max(loss.limit, self.threshold)
        outside = loss.ok & loss.ready & (loss.z >= limit) & (loss.y - loss.median >= least)
        outside, last = self._with_joint(view, outside, state.last)
        if not (outside.any() or waits(state)):
            return state, quiet(view, calm, loss.measured)
        norm_too = view.norm.z >= self.norm_z
        state, sequel = follow(state, loss, view, Rows(outside, norm_too, least), _judge)
        state = replace(state, last=last)

        def describe(row: int) -> Sighting:
            spike, step = sequel.spike[row], int(view.step[row])
            if spike is None or not sequel.classed[row]:
                value, z = float(view.scalar("loss")[row]), float(loss.z[row])
                text = f"the loss jumps to {value:.4g} (robust z {z:.1f}, limit {limit:.1f})"
                fact = Evidence("loss-spike", text, step, z, limit)
                return Sighting((fact, *((_norm_too(view, row),) if norm_too[row] else ())))
            z = spike.rise / spike.scale
            text = f"the loss jumped (robust z {z:.1f}, limit {limit:.1f})"
            fact = Evidence("loss-spike", text, step, z, limit)
            return Sighting((fact, *class_facts(spike, step)))

        return state, Signal(sequel.level, calm, describe, loss.measured, sequel.classed)

    def _with_joint(self, view: View, outside: BoolArray, last: int) -> tuple[BoolArray, int]:
        """The rows out of range with the first joint one, if none was in 1,024 reports before it.

        And the ordinal of the last of them all; row by row, so that cuts make no difference.
        """
        jointly = self._jointly(view)
        if not jointly.any():
            return outside, newest(view.ordinal, outside, last)
        seen = np.maximum.accumulate(np.where(outside, view.ordinal, last))
        before = np.concatenate([[last], seen[:-1]])
        joint = np.flatnonzero(jointly & (view.ordinal - before >= MEMORY))[:1]
        if len(joint):
            outside = outside.copy()
            outside[joint] = True
        return outside, max(int(seen[-1]), int(view.ordinal[joint[0]]) if len(joint) else last)

    def _jointly(self, view: View) -> BoolArray:
        """Where loss and norm are out of range together, though neither would be alone: bool[n]."""
        loss, norm = view.loss, view.norm
        if loss.linear or not (loss.ready and norm.ready):
            return throughout(view, holds=False)
        both = (loss.z >= self.joint_z) & (norm.z >= self.norm_z)
        if not both.any():
            return both
        both &= loss.z + norm.z >= self.sum_z
        return both & loss.ok & norm.ok & (loss.y - loss.median >= bits(1.0))

    def _least(self, loss: Track) -> int:
        if loss.linear:
            return math.ceil(self.rise * abs(loss.median))
        return max(bits(self.rise_bits), log2_bits(1 + self.rise))


def _norm_too(view: View, row: int) -> Evidence:
    z = float(view.norm.z[row])
    text = f"the gradient norm jumps in the same step (robust z {z:.1f})"
    return Evidence("norm-jump", text, int(view.step[row]), z)


def _judge(spike: Spike) -> Severity:
    return graded(spike, Severity.WARNING) if spike.together else Severity.INFO
