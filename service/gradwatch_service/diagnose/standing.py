"""Remembers how the reduced gradient stands to this rank's own, which it cannot well outgrow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from gradwatch_service.detect.fixedpoint import Fixed, as_bits, log2_fixed
from gradwatch_service.detect.view import View

KEPT, NEWEST, LEAST = 256, 8, 32


@dataclass(frozen=True, slots=True)
class Standing:
    """``ratios`` int32[≤ 256]: log2 of reduced norm over ``local_grad_norm``, the newest last."""

    ratios: Fixed = field(default_factory=lambda: np.empty(0, dtype=np.int32))

    def advance(self, view: View, rows: slice) -> Standing:
        """Take rows of a view into memory."""
        if "local_grad_norm" not in view.scalars:
            return self
        own = view.measured("local_grad_norm")[rows]
        known = view.norm.ok[rows] & (own > 0)
        ratios = (view.norm.y[rows] - log2_fixed(np.where(known, own, 1.0)))[known]
        return Standing(np.concatenate([self.ratios, ratios])[-KEPT:].astype(np.int32))

    @property
    def now(self) -> float | None:
        """Bits by which the reduced norm is over the rank's own: median of the last 8 values."""
        return as_bits(_median(self.ratios[-NEWEST:])) if len(self.ratios) >= LEAST else None

    @property
    def rise(self) -> float:
        """By how many bits that is more than the median of the older half."""
        if len(self.ratios) < LEAST:
            return 0.0
        older = self.ratios[: len(self.ratios) // 2]
        return as_bits(_median(self.ratios[-NEWEST:]) - _median(older))


def _median(values: Fixed) -> int:
    return int(np.sort(values)[len(values) // 2])
