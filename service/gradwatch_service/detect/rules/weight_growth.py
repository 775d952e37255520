"""weight-growth: the weights double again and again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect import stretches
from gradwatch_service.detect.baseline import BLOCK, EMPTY
from gradwatch_service.detect.fixedpoint import ONE_BIT, bits, log2_bits, power
from gradwatch_service.detect.formats import norm_over_rms
from gradwatch_service.detect.rule import Sighting, Signal, last_row, levels, quiet, throughout
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.update_ratio import is_weight
from gradwatch_service.detect.view import View
from gradwatch_service.detect.weight_norms import WeightNorms, is_look, norm_at_gain_1
from gradwatch_service.domain import BoolArray, Evidence, IntArray, LayerTable, Severity

_EVEN_BLOCKS, _SEVERAL = 2, 4
SHORT, EARLIER = 2, 4  # blocks: growth within 32 reports, and that of 64 reports before


@dataclass(frozen=True, slots=True)
class Growing:
    """The weights so far; whether the last look and the last block showed the fault.

    ``even``: blocks on end in which all layers grew alike; ``told``: the last report that ended a
    block and came after an announced change.
    """

    norms: WeightNorms
    look: bool = False
    block: bool = False
    even: int = 0
    told: int = -EMPTY


@dataclass(frozen=True, slots=True)
class WeightGrowth:
    """Most layers' ‖w‖ rise by .18 bit in 32 reports (error), or one's doubles for long (warning).

    By .08 bit already where they do so alike, the lower quartile .85 of the median, in two blocks
    on end: training moves each layer at a pace of its own, a decay of the wrong sign does not.

    Most: the lower median over the layers, which doubles within 180 reports, and rises at least .8
    as fast as 64 reports before; not after an announced change, nor while the last 128 losses fall
    (by 2 %): a net that leaves a plateau grows in all layers. For long: 4x the first value, doubled
    within 896 reports, the last 128 of which saw at least .6 of the average growth; and the layer
    amplifies, rms(w)·√(inputs) ≥ 2 with 1 neutral. Healthy weights grow ever more slowly in
    proportion, and small initial ones grow in any run. Not judged: layers that began at practically
    0 (rms < 1e-4), biases, normalisation, the first 256 reports. On block medians, the latter every
    128 reports. Ends after 128 reports without.

    Source: Gradwatch, measured by benchmarks/detection; that growing weights precede instability:
    Wortsman et al. 2023 (arXiv 2309.14322).
    """

    id: ClassVar[str] = "weight-growth"
    clear_after: ClassVar[int] = 128
    short_bits: float = settable(
        0.18, "rise of most layers' weights in 32 reports, in powers of two", 0.05, 4.0, "bits"
    )
    even_bits: float = 0.08
    alike: float = 0.85
    doubled_bits: float = settable(
        1.0, "rise of one layer's weights over a long time, in powers of two", 0.25, 8.0, "bits"
    )
    above_first_bits: float = 2.0
    lasting: float = 0.8
    loss_fall: float = 0.02
    steady: float = 0.6
    gain_bits: float = 1.0
    first_rms: float = 1e-4
    warm_up: int = 256

    def init(self, layers: LayerTable) -> Growing:
        """Nothing measured yet."""
        return Growing(WeightNorms.empty(len(layers)))

    def update(self, state: Growing, view: View) -> tuple[Growing, Signal]:
        """Judge the weights where a block closes."""
        calm = throughout(view, holds=not (state.look or state.block))
        norm = None if view.block is None else view.block.median("weight_norm")
        if norm is None:
            return state, quiet(view, calm)
        ordinal = int(view.ordinal[-1])
        norms = state.norms.after(norm, ordinal)
        told = ordinal if view.announced[-1] else state.told
        if ordinal < self.warm_up:
            return Growing(norms, told=told), quiet(view, calm)
        expected = ordinal - told <= SHORT * BLOCK + BLOCK  # the medians reach back that far
        even, most = 0, None
        if not (expected or stretches.falls(view.loss, -1, self.loss_fall)):
            even, most = self._together(norms, view, state.even)
        look, one = state.look, None
        if is_look(ordinal):
            one = self._one(norms, view)
            look = one is not None
        state = Growing(norms, look, most is not None, even, told)
        found = most or one
        if found is None:
            return state, quiet(view, calm)
        severity = Severity.WARNING if most is None else Severity.ERROR
        return state, Signal(levels(view, (severity, last_row(view))), calm, lambda _: found)

    def _own(self, norms: WeightNorms, view: View) -> BoolArray:
        """The weight layers that did not begin at practically 0: bool[L]."""
        begun = norms.first - norm_over_rms(view.layers) >= log2_bits(self.first_rms)
        return begun & is_weight(view.layers)

    def _together(self, norms: WeightNorms, view: View, even: int) -> tuple[int, Sighting | None]:
        """Blocks on end in which all layers grew alike, and whether most grow fast or alike."""
        now = norms.growth(SHORT)
        if now.max(initial=-EMPTY) < bits(self.even_bits):
            return 0, None
        known = self._own(norms, view) & (now > -EMPTY)
        growth = np.sort(now[known])
        even = even + 1 if self._is_even(growth) else 0
        if even < _EVEN_BLOCKS and _lower_median(growth) < bits(self.short_bits):
            return even, None
        columns = known.nonzero()[0]
        columns = columns[np.argsort(now[columns], kind="stable")]
        return even, self._most(norms, columns, view)

    def _is_even(self, growth: IntArray) -> bool:
        """Whether all layers grow, and alike; ``growth`` in rising order."""
        if len(growth) < _SEVERAL:
            return False
        typical = _lower_median(growth)
        alike = int(growth[len(growth) // 4]) >= self.alike * typical
        return alike and typical >= bits(self.even_bits)

    def _most(self, norms: WeightNorms, columns: IntArray, view: View) -> Sighting | None:
        """Whether most layers keep up the pace; ``columns`` by growth, the slowest first."""
        typical = int(norms.growth(SHORT)[columns[(len(columns) - 1) // 2]])
        if typical < self.lasting * _lower_median(np.sort(norms.growth(SHORT, EARLIER)[columns])):
            return None
        columns = columns[::-1]
        growth = typical / ONE_BIT
        text = (
            f"the weights of most layers double every {SHORT * BLOCK / growth:.0f} reports, "
            f"fastest those of {view.layers.names[columns[0]]}"
        )
        return _sighting(view, text, (growth, self.short_bits), columns)

    def _one(self, norms: WeightNorms, view: View) -> Sighting | None:
        """Whether single layers have grown for long, and still do."""
        whole, since_first, recent, pace = norms.growths()
        gain = norms.looks[-1].astype(np.int64) - norm_at_gain_1(view.layers)
        grows = self._own(norms, view) & (gain >= bits(self.gain_bits))
        grows &= recent >= self.steady * pace
        grows &= (whole >= bits(self.doubled_bits)) & (since_first >= bits(self.above_first_bits))
        columns = np.flatnonzero(grows)
        if not len(columns):
            return None
        columns = columns[np.argsort(-whole[columns], kind="stable")]
        growth, risen = (float(each[columns[0]]) / ONE_BIT for each in (whole, since_first))
        others = f", and those of {len(columns) - 1} more" if len(columns) > 1 else ""
        text = (
            f"the weights of {view.layers.names[columns[0]]}{others} have grown by "
            f"{power(growth):.2g} within 896 reports and by {power(risen):.2g} since the first"
        )
        return _sighting(view, text, (growth, self.doubled_bits), columns)


def _sighting(view: View, text: str, growth: tuple[float, float], columns: IntArray) -> Sighting:
    """The growth in bits and its limit, of these layers, fastest first."""
    name, step = view.layers.names[columns[0]], int(view.step[-1])
    return Sighting(
        (Evidence("weight-growth", text, step, *growth, name),), tuple(columns.tolist())
    )


def _lower_median(growth: IntArray) -> int:
    """Of growths in rising order."""
    return int(growth[(len(growth) - 1) // 2]) if len(growth) else -EMPTY
