"""attention-logit: the largest attention logit is so large that softmax turns into a switch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.fixedpoint import as_bits, log2_fixed
from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths, throughout
from gradwatch_service.detect.rules.gradient_growth import WINDOW, fit
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import Past, View
from gradwatch_service.domain import Evidence, FloatArray, LayerTable, Severity

NAME = "attention_logit_max"


@dataclass(frozen=True, slots=True)
class Logits:
    """The newest logits, as log2, and how many in a row were above each limit."""

    past: Past = field(default_factory=Past.empty)
    high: int = 0
    extreme: int = 0


@dataclass(frozen=True, slots=True)
class AttentionLogit:
    """The largest ``attention_logit_max`` of a report ≥ 1e3 (warning) or ≥ 1e4 (error).

    As a scalar or per layer; in 4 reports in a row, as one batch may reach further. Where it grows
    steadily (t ≥ 6 over 32 values) the evidence tells the doubling time and when 1e4 is reached.
    Ends after 32 reports below 1e3.

    Source: Wortsman et al. 2023 (arXiv 2309.14322): runs whose attention logits pass 1e4 diverge,
    and growth at a small scale predicts it; Dehghani et al. 2023 (ViT-22B) for the failure.
    """

    id: ClassVar[str] = "attention-logit"
    clear_after: ClassVar[int] = 32
    warning: float = settable(1e3, "largest attention logit for a warning", 10.0, 1e06)
    error: float = settable(1e4, "largest attention logit for an error", 100.0, 1e08)
    lasting: int = 4
    t_limit: float = 6.0

    def init(self, _layers: LayerTable) -> Logits:
        """No logit so far."""
        return Logits()

    def update(self, state: Logits, view: View) -> tuple[Logits, Signal]:
        """Compare each report's largest logit with the limits."""
        if NAME not in view.scalars and NAME not in view.stats:
            return state, quiet(view, known=throughout(view, holds=False))
        largest = _largest(view)
        known = ~np.isnan(largest)
        high = run_lengths(known & (largest >= self.warning), state.high, known)
        extreme = run_lengths(known & (largest >= self.error), state.extreme, known)
        finite = np.isfinite(largest)
        y, past = log2_fixed(largest[finite]), state.past
        level = levels(
            view,
            (Severity.WARNING, known & (high >= self.lasting)),
            (Severity.ERROR, known & (extreme >= self.lasting)),
        )

        def describe(row: int) -> Sighting:
            rows = int(finite[: row + 1].sum())
            until = past.after(y[:rows], view.ordinal[finite][:rows])
            return self._describe(view, row, float(largest[row]), until)

        calm = ~(largest >= self.warning)
        state = Logits(past.after(y, view.ordinal[finite]), int(high[-1]), int(extreme[-1]))
        return state, Signal(level, calm, describe, known)

    def _describe(self, view: View, row: int, largest: float, past: Past) -> Sighting:
        step, columns = int(view.step[row]), _highest_first(view, row, self.warning)
        name = view.layers.names[columns[0]] if columns else None
        place = f" (in {name})" if name else ""
        text = f"the largest attention logit is {largest:.3g}{place}; attention to one place only"
        facts = [Evidence("attention-logit", text, step, largest, self.warning, name)]
        slope = self._slope(past)
        if slope is not None:
            text = f"it doubles every {1 / slope:.0f} reports"
            facts.append(Evidence("doubling-time", text, step, 1 / slope))
            left = (math.log2(self.error) - as_bits(past.y[-1])) / slope
            if left > 0:
                text = f"at this rate it reaches {self.error:g} in {left:.0f} reports"
                facts.append(Evidence("reports-to-limit", text, step, left))
        return Sighting(tuple(facts), columns)

    def _slope(self, past: Past) -> float | None:
        """Bits per report by which the logit grows; None: not known to grow steadily."""
        if past.count < WINDOW:
            return None
        trend = fit(past.y[None, -WINDOW:])
        reports = past.ordinal[-1] - past.ordinal[-WINDOW]
        steady = trend.slope[0] > 0 and trend.t[0] >= self.t_limit
        return float(trend.slope[0] * (WINDOW - 1) / reports) if steady else None


def _largest(view: View) -> FloatArray:
    """The largest logit of each report, float64[n]; NaN where none was measured."""
    scalar, stats = view.scalar(NAME), view.stats.get(NAME)
    if stats is None:
        return scalar
    return np.fmax(scalar, np.fmax.reduce(stats, axis=1, initial=np.nan))


def _highest_first(view: View, row: int, limit: float) -> tuple[int, ...]:
    """Columns of the layers at or above the limit."""
    stats = view.stats.get(NAME)
    if stats is None:
        return ()
    logits = np.where(np.isnan(stats[row]), -np.inf, stats[row])
    order = np.argsort(-logits, kind="stable")
    return tuple(order[logits[order] >= limit].tolist())
