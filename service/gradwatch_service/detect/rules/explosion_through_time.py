"""explosion-through-time: in a recurrent net the gradient grows time step after time step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import ONE_BIT, log2_fixed
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    BoolArray,
    Evidence,
    Float32Array,
    FloatArray,
    IntArray,
    LayerTable,
    Severity,
    is_missing,
)

MIN_TIME_STEPS = 8


@dataclass(frozen=True, slots=True)
class ExplosionThroughTime:
    """Slope β of log2 ‖∂L/∂h_t‖ back through time with β·T ≥ 6 bits, ``lasting`` profiles in a row.

    Pascanu et al. 2013: the norm of the product of recurrent Jacobians grows as a power of their
    largest singular value. Needs ``profiles.time`` (index 0 = earliest time step). Ends after 32
    reports below. The state counts the profiles in a row.
    """

    id: ClassVar[str] = "explosion-through-time"
    clear_after: ClassVar[int] = 32
    growth_bits: float = 6.0
    lasting: int = 3

    def init(self, _layers: LayerTable) -> int:
        """No profile so far."""
        return 0

    def update(self, state: int, view: View) -> tuple[int, Signal]:
        """Fit each report's profile over time."""
        profile = view.profiles.get("time")
        if profile is None:
            return state, quiet(view, known=np.zeros(len(view), dtype=np.bool_))
        beta, known = backward_slope(profile)
        length = time_steps(profile)
        holds = known & (beta * length >= self.growth_bits)
        streak = run_lengths(holds, state, known)
        level = levels(view, (Severity.ERROR, holds & (streak >= self.lasting)))

        def describe(row: int) -> Sighting:
            return self._describe(view, row, float(beta[row]), int(length[row]))

        return int(streak[-1]), Signal(level, ~holds, describe, known)

    def _describe(self, view: View, row: int, beta: float, length: int) -> Sighting:
        recurrent = [i for i, layer in enumerate(view.layers.layers) if layer.kind == "recurrent"]
        name = view.layers.names[recurrent[0]] if recurrent else None
        text = (
            f"back through {length} time steps the gradient grows by {2.0 ** (beta * length):.3g}, "
            f"{2.0**beta:.3g} a step (β = {beta:.2f} bits)"
        )
        step, bits = int(view.step[row]), beta * length
        growth = Evidence("explosion-through-time", text, step, bits, self.growth_bits, name)
        slope = Evidence("time-slope", f"β = {beta:.3f} bits a time step", step, beta)
        return Sighting((growth, slope), tuple(recurrent))


def time_steps(profile: Float32Array) -> IntArray:
    """T of each row, int64[n]: up to the last entry that was measured, as rows may be padded."""
    places = np.arange(1, profile.shape[1] + 1)
    return np.asarray((~is_missing(profile) * places).max(axis=1, initial=0))


def backward_slope(profile: Float32Array) -> tuple[FloatArray, BoolArray]:
    """Bits by which the norm grows per step back in time, float64[n], and where it can be fitted.

    Least squares over the finite, non-zero entries of each row, of which there must be 8; the sums
    are integers, hence exact.
    """
    ok = np.isfinite(profile) & (profile > 0)
    y = np.where(ok, log2_fixed(profile), 0).astype(np.int64)
    time = np.arange(profile.shape[1], dtype=np.int64)
    count = ok.sum(axis=1)
    middle = (ok * time).sum(axis=1) / np.maximum(count, 1)
    spread = (ok * time * time).sum(axis=1) - middle * (ok * time).sum(axis=1)
    cross = (y * time).sum(axis=1) - middle * y.sum(axis=1)
    known = count >= MIN_TIME_STEPS
    return np.where(known, -cross / np.where(known, spread, 1.0) / ONE_BIT, 0.0), known
