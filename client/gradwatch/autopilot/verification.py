"""Judges what an action has brought, once its time is over."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import replace

from gradwatch.autopilot.advice import Advice
from gradwatch.autopilot.order import Order, about
from gradwatch.autopilot.state import Moment, Spent, State, Trial

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}


def verified(state: State, moment: Moment) -> tuple[State, tuple[Order, ...]]:
    """Judge the actions whose time is over; undo what has not helped and may not stay."""
    due = [trial for trial in state.trials if moment.step >= trial.deadline]
    if not due:
        return state, ()
    orders: list[Order] = []
    spent = dict(state.spent)
    for trial in due:
        good = helped(state, trial.advice, moment)
        orders += _outcome(trial, moment.step, good=good)
        spent[trial.advice.id] = _judged(spent[trial.advice.id], trial, good=good)
    left = tuple(trial for trial in state.trials if trial not in due)
    return replace(state, trials=left, spent=spent), tuple(orders)


def helped(state: State, advice: Advice, moment: Moment) -> bool:
    """Whether the check of the advice holds: by its metric, else by the absence of the alert."""
    check = advice.check
    compare = _COMPARE.get(check.op)
    found = None if compare is None or check.value is None else moment.median(check.metric)
    if compare is not None and check.value is not None and found is not None:
        return math.isfinite(found) and compare(found, check.value)
    named = {check.metric, advice.cause}
    return not any(
        alert.id == advice.alert_id or not named.isdisjoint((alert.rule, alert.cause))
        for alert in state.alerts
    )


def _outcome(trial: Trial, step: int, *, good: bool) -> list[Order]:
    advice, check = trial.advice, trial.advice.check
    told = f"{check.metric} {check.op}" + ("" if check.value is None else f" {check.value:.4g}")
    if good:
        return [about(advice, "report", step, "verified", f"{advice.title}: {told}")]
    failed = about(advice, "report", step, "failed", f"{advice.title}: not {told}")
    if advice.klass != 2 or advice.lowers_rate:
        return [failed]
    return [failed, about(advice, "undo", step, "undone", f"{advice.title}: it did not help")]


def _judged(spent: Spent, trial: Trial, *, good: bool) -> Spent:
    """Where it helped, its alert has as long again to end before the next action is due."""
    until = trial.deadline + trial.advice.check.within_steps if good else trial.step
    return replace(spent, holds_until=until)
