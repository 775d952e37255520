"""Chooses the next action: what the user allows, what is due, and within the limits."""

from __future__ import annotations

from collections.abc import Sequence

from gradwatch.autopilot.advice import Advice
from gradwatch.autopilot.order import Order, about
from gradwatch.autopilot.recovery import going_back
from gradwatch.autopilot.state import State

CONFIDENCE = {1: 0.0, 2: 0.7, 3: 0.85}
REST_STEPS = 64
QUOTA, QUOTA_STEPS = 3, 1000
FACTOR_FLOOR = 2.0**-6
INITIAL_STEPS = 32


def chosen(state: State, step: int) -> tuple[Order, ...]:
    """Everything of class 1 that is due, and at most one action of class 2 or 3."""
    ready = [advice for advice in state.advice if _is_ready(state, advice, step)]
    gentle = tuple(order_for(state, advice, step) for advice in ready if advice.klass == 1)
    bold = _boldest(state, [advice for advice in ready if advice.klass > 1])
    rests = state.bold_step is not None and step - state.bold_step < REST_STEPS
    return gentle if bold is None or rests else (*gentle, order_for(state, bold, step))


def _boldest(state: State, ready: Sequence[Advice]) -> Advice | None:
    """The best one; if that was tried before and the trouble came back, rather an untried one."""
    if not ready:
        return None
    best = ready[0]
    tried = {spent.action for spent in state.spent.values() if spent.alert_id == best.alert_id}
    alike = [x for x in ready if (x.alert_id, x.klass) == (best.alert_id, best.klass)]
    return next((advice for advice in alike if advice.action not in tried), best)


def is_permitted(advice: Advice, level: int) -> bool:
    """Whether the user's level covers this advice, by class, confidence and gravity of the alert.

    Class 2 needs an alert that would page a person, class 3 an error: what is only a warning is
    more often wrong than a change of the training is worth.
    """
    if advice.klass not in CONFIDENCE or advice.klass > level:
        return False
    pressing = advice.is_grave or (advice.klass == 2 and advice.actionable)
    return (advice.klass == 1 or pressing) and advice.confidence >= CONFIDENCE[advice.klass]


def _is_ready(state: State, advice: Advice, step: int) -> bool:
    due = advice.apply_at_step <= step <= advice.expires_step
    if not due or not is_permitted(advice, state.level) or _is_spent(state, advice):
        return False
    return advice.klass == 1 or not (
        _is_held_back(state, advice, step) or _exceeds(state, advice, step)
    )


def _is_spent(state: State, advice: Advice) -> bool:
    """Once is enough, until the alert is over and has come back with new advice."""
    spent = state.spent.get(advice.id)
    return spent is not None and (spent.live or advice.apply_at_step <= spent.step)


def _is_held_back(state: State, advice: Advice, step: int) -> bool:
    """Whether another action against the same alert is on trial, or has not had its time yet."""
    on_trial = any(
        trial.advice.alert_id == advice.alert_id and trial.advice.klass > 1
        for trial in state.trials
    )
    return on_trial or any(
        spent.alert_id == advice.alert_id and spent.live and step < spent.holds_until
        for spent in state.spent.values()
    )


def _exceeds(state: State, advice: Advice, step: int) -> bool:
    """Whether three class 2 actions were made in the last 1,000 steps already."""
    full = len(state.acted) == QUOTA and step - state.acted[0] < QUOTA_STEPS
    return full and advice.klass == 2


def order_for(state: State, advice: Advice, step: int) -> Order:
    """The order to follow advice, or to say which limit forbids it."""
    factor = state.hold.factor if state.hold is not None else 1.0
    if advice.factor < 1.0 and factor * advice.factor < FACTOR_FLOOR:
        reason = f"the learning rate is {factor:.3g} of its schedule already"
        return about(advice, "report", step, "declined", f"{advice.title}: {reason}")
    if advice.action == "reinit_layers" and step - state.first_step >= INITIAL_STEPS:
        reason = f"only in the first {INITIAL_STEPS} steps"
        return about(advice, "report", step, "declined", f"{advice.title}: {reason}")
    if advice.action == "rollback":
        return going_back(state, advice, step)
    return about(advice, "apply", step, "applied", advice.title)
