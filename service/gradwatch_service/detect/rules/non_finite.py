"""non-finite: a gradient, loss or weight is NaN or infinite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gradwatch_service.detect.rule import Sighting, Signal, levels, quiet, run_lengths
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import BoolArray, Evidence, LayerTable, Severity, is_missing

_GRADIENT_COUNT, _WEIGHT_COUNT = "grad_nonfinite", "weight_nonfinite"
_GRADIENTS = ("grad_norm", "grad_max", "grad_rms", "grad_mean", "bias_grad_norm", "act_grad_norm")
_WEIGHTS = ("weight_norm", "update_norm")


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Any non-finite gradient, loss or weight.

    Information if the loss scaler skipped the step (``found_inf``) and the loss is finite, an error
    otherwise, critical for weights or ``critical_streak`` reports in a row. Ends after 32 clean
    reports. The state counts the reports in a row.

    Source: exact; Gradwatch. That it is judged apart from every baseline: one NaN in the window
    silences the detectors of OLMo-core, ZClip and llm-foundry (DETECTORS section 1, point 5).
    """

    id: ClassVar[str] = "non-finite"
    clear_after: ClassVar[int] = 32
    critical_streak: int = settable(
        4, "reports in a row from which on it is critical", 2, 1000, "reports"
    )

    def init(self, _layers: LayerTable) -> int:
        """Nothing non-finite so far."""
        return 0

    def update(self, state: int, view: View) -> tuple[int, Signal]:
        """Look for measured values that are not finite."""
        if _is_spotless(view):
            return 0, quiet(view)
        gradients = _bad(view, _GRADIENTS, _GRADIENT_COUNT)
        weights = _bad(view, _WEIGHTS, _WEIGHT_COUNT)
        in_weights = weights.any(axis=1)
        bad = gradients.any(axis=1) | in_weights | view.norm.bad | view.loss.bad
        skipped = view.scalar("found_inf") > 0
        if not (bad | skipped).any():
            return 0, quiet(view)
        harmless = skipped & ~view.loss.bad
        streak = run_lengths(bad & ~harmless, state)
        level = levels(
            view,
            (Severity.INFO, bad | skipped),
            (Severity.ERROR, bad & ~harmless),
            (Severity.CRITICAL, in_weights | (streak >= self.critical_streak)),
        )

        def describe(row: int) -> Sighting:
            return _describe(view, row, gradients[row], weights[row])

        return int(streak[-1]), Signal(level, ~bad & ~skipped, describe)


def _is_spotless(view: View) -> bool:
    """Whether every number of the layers is finite, and nothing else is wrong."""
    skipped = view.scalars.get("found_inf")
    if (view.norm.bad | view.loss.bad).any() or (skipped is not None and (skipped > 0).any()):
        return False
    stats = view.stats
    if any((stats[name] > 0).any() for name in (_GRADIENT_COUNT, _WEIGHT_COUNT) if name in stats):
        return False
    measured = (stats[name] for name in (*_GRADIENTS, *_WEIGHTS) if name in stats)
    return all(np.count_nonzero(np.isfinite(values)) == values.size for values in measured)


def _bad(view: View, statistics: Iterable[str], count: str) -> BoolArray:
    """Layers with a measured value that is not finite, or with a count of such: bool[n, L]."""
    counts = view.stat(count)
    bad = np.zeros((len(view), len(view.layers)), dtype=np.bool_) if counts is None else counts > 0
    for values in (view.stats[name] for name in statistics if name in view.stats):
        finite = np.isfinite(values)
        if np.count_nonzero(finite) < values.size:
            bad |= ~finite & ~is_missing(values)
    return bad


def _describe(view: View, row: int, gradients: BoolArray, weights: BoolArray) -> Sighting:
    order = np.argsort(view.layers.depth, kind="stable")
    if weights.any():
        fact, text, bad = "weights", "weights are no longer finite", weights
    elif view.loss.bad[row]:
        fact, text, bad = "forward", "the loss itself is not finite (forward pass)", gradients
    elif view.norm.bad[row] or gradients.any():
        # The loss is finite, so the forward pass was: the break is nearest the loss.
        fact, text, bad = "backward", "the loss is finite, the gradient is not", gradients
        order = order[::-1]
    else:
        fact, text, bad = "backward", "the loss scaler found an infinite gradient", gradients
    columns = order[bad[order]]
    names = [view.layers.names[column] for column in columns]
    where = _where(names, _last_finite(view, row, order, bad))
    evidence = Evidence(
        f"non-finite-{fact}", text + where, int(view.step[row]), layer=next(iter(names), None)
    )
    return Sighting((evidence,), tuple(columns.tolist()))


def _where(names: list[str], last_finite: str | None) -> str:
    if not names:
        return ""
    last = f"; last finite layer {last_finite}" if last_finite else ""
    return f": first in {names[0]}, in {len(names)} layers altogether{last}"


def _last_finite(view: View, row: int, order: np.ndarray, bad: BoolArray) -> str | None:
    """The last layer, in the direction of the computation, that was finite before the break."""
    if not bad.any():
        return None
    seen = np.zeros(len(bad), dtype=np.bool_)
    for name in (*_GRADIENTS, *_WEIGHTS):
        values = view.stat(name)
        seen |= False if values is None else np.isfinite(values[row])
    before = order[: int(bad[order].argmax())]
    known = before[seen[before]]
    return view.layers.names[int(known[-1])] if len(known) else None
