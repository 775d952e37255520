"""explosion-through-time: in a recurrent net the gradient grows time step after time step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.baseline import BLOCK, EMPTY
from gradwatch_service.detect.columns import grown, per_table
from gradwatch_service.detect.fixedpoint import (
    ONE_BIT,
    Fixed,
    as_bits,
    as_value,
    bits,
    log2_fixed,
    power,
)
from gradwatch_service.detect.lengths import NOTHING, Lengths, follow, trend
from gradwatch_service.detect.rule import (
    Sighting,
    Signal,
    last_row,
    levels,
    quiet,
    throughout,
)
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
    is_missing,
)

MIN_TIME_STEPS = 8
SIGMA_BLOCKS = 4  # 64 reports
PROFILES = 8  # of which the typical growth is taken


@dataclass(frozen=True, slots=True)
class Through:
    """What the three signs remember.

    ``recent``: β·T of the newest 8 profiles; ``lengths``: the newest 64 reports with a sequence
    length; ``sigma`` int32[5, L]: log2 of the largest singular value in the last five blocks, EMPTY
    where not measured; ``lasts``: one of the latter two held in the last block.
    """

    sigma: Fixed
    lengths: Lengths = field(default_factory=lambda: NOTHING)
    recent: tuple[float, ...] = ()
    lasts: bool = False


@dataclass(frozen=True, slots=True)
class ExplosionThroughTime:
    """The gradient grows on its way back through time. One of three signs is enough.

    Profile: slope β of log2 ‖∂L/∂h_t‖ with β·T ≥ 6 bits, three profiles in a row, and ≥ 5 bits in
    the median of eight (``profiles.time``, index 0 = earliest time step); 8 bits are critical, and
    3 are a warning in the first 32 reports, before the net has learned to look back. Length:
    log2 ‖g‖ rises by 2 bits, t ≥ 5, from the shortest to the longest sequence of 64 reports, and so
    does ‖g‖ / loss. Matrix: the largest singular value of a plain recurrent matrix (no gates) is
    above 4 and has doubled within 64 reports. The latter two are judged by the block. Ends after 32
    reports without; where there are profiles, those count.

    Source: Pascanu et al. 2013 (arXiv 1211.5063): the norm of the product of recurrent Jacobians
    grows as a power of their largest singular value. The limits: Gradwatch, measured. A large
    singular value alone tells little: healthy gated cells reach 15, exploding plain ones begin
    at 1.3.
    """

    id: ClassVar[str] = "explosion-through-time"
    clear_after: ClassVar[int] = 32
    growth_bits: float = settable(
        6.0,
        "growth of the gradient back through the sequence, in powers of two, for an error",
        3.0,
        32.0,
        "bits",
    )
    extreme_bits: float = settable(
        8.0,
        "growth of the gradient back through the sequence, in powers of two, for a critical alert",
        3.0,
        64.0,
        "bits",
    )
    early_bits: float = 3.0
    early: int = 32
    lasting: int = 3
    typical_bits: float = 5.0
    length_bits: float = 2.0
    length_t: float = 5.0
    sigma: float = 4.0
    sigma_rise_bits: float = 1.0

    def init(self, layers: LayerTable) -> Through:
        """Nothing seen so far."""
        return Through(np.full((SIGMA_BLOCKS + 1, len(layers)), EMPTY, dtype=np.int32))

    def update(self, state: Through, view: View) -> tuple[Through, Signal]:
        """Fit each report's profile; where a block closes judge the lengths and the matrices."""
        before, profile = state, view.profiles.get("time")
        state, lasting = self._by_block(state, view)
        calm = throughout(view, holds=not before.lasts)
        if profile is None:
            known = throughout(view, holds=before.lasts or not before.recent)
            if lasting is None:
                return state, quiet(view, calm, known)
            level = levels(view, (Severity.ERROR, last_row(view)))
            return state, Signal(level, calm, lambda _: lasting, known)
        beta, fitted = backward_slope(profile)
        length = time_steps(profile)
        growth = beta * length
        holds = fitted & (growth >= self._limit(view.ordinal))
        recent, least = self._lasting(state.recent, growth, fitted)
        in_profile = least >= self._limit(view.ordinal)
        by_block = last_row(view) & (lasting is not None)
        level = levels(
            view,
            (Severity.WARNING, in_profile),
            (Severity.ERROR, by_block | (least >= self.growth_bits)),
            (Severity.CRITICAL, least >= self.extreme_bits),
        )

        def describe(row: int) -> Sighting:
            if lasting is not None and not in_profile[row]:
                return lasting
            return self._describe(view, row, float(beta[row]), int(length[row]))

        profiled = np.logical_or.accumulate(fitted) | (len(before.recent) > 0)
        known = fitted | ~profiled | before.lasts
        return replace(state, recent=recent), Signal(level, calm & ~holds, describe, known)

    def _lasting(
        self, recent: tuple[float, ...], growth: FloatArray, fitted: BoolArray
    ) -> tuple[tuple[float, ...], FloatArray]:
        """The newest eight growths, and the least of the last three where the typical one is high.

        -inf where not. In a noisy net three in a row come up by chance, out of a level far below.
        """
        least = np.full(len(growth), -math.inf)
        for row in np.flatnonzero(fitted):
            recent = (*recent, float(growth[row]))[-PROFILES:]
            lasting, typical = min(recent[-self.lasting :]), sorted(recent)[len(recent) // 2]
            if len(recent) >= self.lasting and typical >= min(lasting, self.typical_bits):
                least[row] = lasting
        return recent, least

    def _by_block(self, state: Through, view: View) -> tuple[Through, Sighting | None]:
        """Follow the lengths; where a block closes judge them and the matrices."""
        lengths = follow(state.lengths, view)
        if lengths is not state.lengths:
            state = replace(state, lengths=lengths)
        if view.block is None:
            return state, None
        sigma = view.block.median("spectral_norm")
        if sigma is not None:
            before = grown(state.sigma, len(view.layers), EMPTY)
            now = np.where(sigma > 0, log2_fixed(sigma), EMPTY).astype(np.int32)
            state = replace(state, sigma=np.concatenate([before[1:], now[None]]))
        found = self._of_lengths(view, lengths) or self._of_sigma(view, state.sigma)
        if state.lasts != (found is not None):
            state = replace(state, lasts=found is not None)
        return state, found

    def _of_lengths(self, view: View, lengths: Lengths) -> Sighting | None:
        found = trend(lengths, self.length_bits)
        if found is None or found.t < self.length_t:
            return None
        text = (
            f"the gradient norm grows with the sequence length: by {power(found.bits):.3g} from "
            f"{found.shortest} to {found.longest} time steps (t {found.t:.1f})"
        )
        return _sighting(view, -1, text, (found.bits, self.length_bits), found.beta)

    def _of_sigma(self, view: View, sigma: Fixed) -> Sighting | None:
        columns = _plain_recurrent(view.layers)
        if not len(columns):
            return None
        columns = columns[columns < sigma.shape[1]]
        now, least = (
            sigma[-1, columns].astype(np.int64),
            sigma[:, columns].min(axis=0, initial=EMPTY),
        )
        wild = (now != EMPTY) & (now > bits(math.log2(self.sigma)))
        wild &= now - least >= bits(self.sigma_rise_bits)
        if not wild.any():
            return None
        at = int(np.where(wild, now, 0).argmax())
        rise, value = as_bits(now[at] - least[at]), as_value(now[at])
        text = (
            f"the largest singular value of {view.layers.names[columns[at]]} is {value:.3g}, "
            f"{power(rise):.3g} times that of {SIGMA_BLOCKS * BLOCK} reports ago; above 1 the "
            "gradient can grow at every time step"
        )
        return _sighting(view, -1, text, (rise, self.sigma_rise_bits), None)

    def _limit(self, ordinal: IntArray) -> FloatArray:
        return np.where(ordinal < self.early, self.early_bits, self.growth_bits)

    def _describe(self, view: View, row: int, beta: float, length: int) -> Sighting:
        limit = float(self._limit(view.ordinal)[row])
        text = (
            f"back through {length} time steps the gradient grows by {2.0 ** (beta * length):.3g}, "
            f"{power(beta):.3g} a step (β = {beta:.2f} bits)"
        )
        return _sighting(view, row, text, (beta * length, limit), beta)


def _sighting(
    view: View, row: int, text: str, growth: tuple[float, float], beta: float | None
) -> Sighting:
    """The facts: the growth in bits and its limit, and the slope, of the recurrent layers."""
    recurrent = [i for i, layer in enumerate(view.layers.layers) if layer.kind == "recurrent"]
    name = view.layers.names[recurrent[0]] if recurrent else None
    step = int(view.step[row])
    facts = [Evidence("explosion-through-time", text, step, *growth, name)]
    if beta is not None:
        facts.append(Evidence("time-slope", f"β = {beta:.3f} bits a time step", step, beta))
    return Sighting(tuple(facts), tuple(recurrent))


@per_table
def _plain_recurrent(layers: LayerTable) -> IntArray:
    """Columns of the square recurrent matrices: neither the input's nor stacked gates, int64[K]."""
    columns = [
        column
        for column, layer in enumerate(layers.layers)
        if layer.kind == "recurrent" and "_ih" not in layer.name and _is_square(layer.shape)
    ]
    return np.array(columns, dtype=np.int64)


def _is_square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] == shape[1]


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
