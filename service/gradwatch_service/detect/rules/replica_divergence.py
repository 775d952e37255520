"""replica-divergence: replicas' gradients differ after their reduction, or their weights do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from gradwatch_service.detect.ranks import REPORTED, WEIGHTS, odd_rank
from gradwatch_service.detect.rule import Levels, Sighting, Signal, quiet
from gradwatch_service.detect.tuning import settable
from gradwatch_service.detect.view import View
from gradwatch_service.domain import (
    BoolArray,
    Evidence,
    FloatArray,
    LayerTable,
    Severity,
    is_missing,
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the ranks are known to be replicas.

    ``equal``: reports in which they agreed, until there were enough; ``value``: of the last report
    before; ``since``: reports since the last difference, while that matters.
    """

    equal: int
    since: int
    value: float = math.nan


Agreements: TypeAlias = tuple[Agreement, ...]  # in the gradient and in the weights
WHAT = {REPORTED: "gradient norm after the reduction", WEIGHTS: "sum of the weight norms"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows in which at least two ranks measured: ``known`` and ``differs`` bool[n], float64[n]."""

    known: BoolArray
    differs: BoolArray
    high: FloatArray
    low: FloatArray


@dataclass(frozen=True, slots=True)
class ReplicaDivergence:
    """The ranks' gradient norms differ by more than ``tolerance``, relative, in 2 of 17 reports.

    So may their weights: a bit that flips in a weight shows in the sum of the layers' weight norms
    long before it shows in a gradient that all share. As weights last, one report is enough where
    they differ by ``at_once``, or are finite on some ranks only.

    Only ranks known to be replicas are judged: their norms must first have agreed in ``replicas``
    reports in a row, each with a norm other than the one before (norms cut to a clip limit agree
    without being replicas). So ranks that differ rightly never fire: shards, stages of a pipeline,
    norms from before the reduction. A number on one rank that is none on another is a difference.
    Names the odd ranks where the others are a majority. Critical: the weights drift apart from
    here on, and no later step brings them together. Ends after 32 reports in which all agree.

    Source: Gradwatch, by definition (all replicas apply the same update); the tolerance lets
    through what the order of a sum does in float32 and float64, and float32 storage.
    """

    id: ClassVar[str] = "replica-divergence"
    clear_after: ClassVar[int] = 32
    tolerance: float = settable(
        1e-6, "relative difference that replicas may have", 1e-09, 0.1, "share"
    )
    replicas: int = 16
    within: int = 16
    at_once: float = 1e-3

    def init(self, _layers: LayerTable) -> Agreements:
        """Not known to be replicas."""
        return (Agreement(equal=0, since=self.within),) * len(WHAT)

    def update(self, state: Agreements, view: View) -> tuple[Agreements, Signal]:
        """Compare the ranks report by report."""
        norms = {name: values for name in WHAT if (values := view.stat(name)) is not None}
        if not norms:
            return state, quiet(view)
        rows = {
            name: self._compare(values.astype(np.float64), is_missing(values))
            for name, values in norms.items()
        }
        known = np.zeros(len(view), dtype=np.bool_)
        differs, level = known.copy(), np.zeros(len(view), dtype=np.int8)
        after, levels = list(state), {}
        for place, name in enumerate(WHAT):
            if name in rows:
                at_once = self.at_once if name == WEIGHTS else math.inf
                after[place], levels[name] = self._follow(state[place], rows[name], at_once)
                known |= rows[name].known
                differs |= rows[name].differs
                level = np.maximum(level, levels[name])

        def describe(row: int) -> Sighting:
            name = next(name for name in levels if levels[name][row])
            values = norms[name][row].astype(np.float64)
            odd, gap = self._odd_ones(values), _gap(rows[name], row)
            text = _text(view, values, odd, f"the {WHAT[name]}", gap)
            first = view.layers.names[odd[0]] if odd else None
            fact = Evidence(self.id, text, int(view.step[row]), gap, self.tolerance, first)
            who = [odd_rank(view, row, odd[0])] if odd else []
            return Sighting((fact, *who), odd)

        return tuple(after), Signal(level if level.any() else None, ~differs, describe, known)

    def _compare(self, values: FloatArray, missing: BoolArray) -> Comparison:
        finite = np.isfinite(values)
        known = finite.any(axis=1) & ((~missing).sum(axis=1) >= 2)
        low = np.where(finite, values, np.inf).min(axis=1, initial=np.inf)
        high = np.where(finite, values, -np.inf).max(axis=1, initial=-np.inf)
        broken = (~finite & ~missing).any(axis=1)
        apart = ~(high - low <= self.tolerance * np.maximum(np.abs(high), np.abs(low)))
        return Comparison(known, known & (broken | apart), high, np.where(broken, np.nan, low))

    def _follow(
        self, state: Agreement, rows: Comparison, at_once: float
    ) -> tuple[Agreement, Levels]:
        equal, since, value = state.equal, state.since, state.value
        level: Levels = np.zeros(len(rows.known), dtype=np.int8)
        if equal >= self.replicas and since >= self.within and not rows.differs.any():
            return state, level
        for row in np.flatnonzero(rows.known).tolist():
            replicas, now = equal >= self.replicas, float(rows.high[row])
            if rows.differs[row]:
                enough = since < self.within or _gap(rows, row) > at_once
                level[row] = Severity.CRITICAL if replicas and enough else 0
                equal, since = equal if replicas else 0, 0
            else:
                equal, since = equal + (not replicas and now != value), min(since + 1, self.within)
            value = now
        return Agreement(equal, since, value), level

    def _odd_ones(self, values: FloatArray) -> tuple[int, ...]:
        """The ranks that differ from the majority; none if there is no majority."""
        held = np.flatnonzero(np.isfinite(values))
        gaps = np.abs(values[held, None] - values[held])
        like = gaps <= self.tolerance * np.maximum(values[held, None], values[held])
        best = int(like.sum(axis=1).argmax())
        alike = set(held[like[best]].tolist())
        measured = np.flatnonzero(~is_missing(values)).tolist()
        if 2 * len(alike) <= len(measured):
            return ()
        return tuple(column for column in measured if column not in alike)


def _gap(rows: Comparison, row: int) -> float:
    """The relative difference of largest and smallest; infinite if one is no number."""
    gap = float((rows.high[row] - rows.low[row]) / abs(rows.high[row]))
    return math.inf if math.isnan(gap) else gap


def _text(view: View, values: FloatArray, odd: tuple[int, ...], what: str, gap: float) -> str:
    measured = np.flatnonzero(~is_missing(values)).tolist()
    if not odd:
        low, high = np.nanmin(values), np.nanmax(values)
        return (
            f"{what} was the same on all ranks, and is now between {low:.9g} and {high:.9g} "
            f"on {len(measured)} ranks (relative difference {gap:.2g})"
        )
    usual = next(column for column in measured if column not in odd)
    names = view.layers.names
    who = " and ".join(f"{values[column]:.9g} on {names[column]}" for column in odd[:3])
    return (
        f"{what} was the same on all ranks, and is now {who} "
        f"against {values[usual]:.9g} on {len(measured) - len(odd)} others "
        f"(relative difference {gap:.2g})"
    )
