"""What a person hands to the job: done once, whatever its confidence, never beyond the level."""

from __future__ import annotations

from gradwatch.autopilot.advice import Advice
from gradwatch.autopilot.choice import CONFIDENCE, order_for
from gradwatch.autopilot.order import Order, about
from gradwatch.autopilot.state import State


def wished(state: State, step: int) -> tuple[Order, ...]:
    """The order that answers the first wish that is open; one a step, so that each is settled."""
    for advice in state.advice:
        if advice.handed_by and advice.id not in state.answered and advice.apply_at_step <= step:
            return (_answer(state, advice, step),)
    return ()


def _answer(state: State, advice: Advice, step: int) -> Order:
    reason = _refusal(state, advice, step)
    if reason:
        return about(advice, "report", step, "declined", f"{advice.title}: {reason}")
    return order_for(state, advice, step)


def _refusal(state: State, advice: Advice, step: int) -> str:
    """Why it is not done; "" if the user allows it and there is no harm in it."""
    if advice.klass not in CONFIDENCE:
        return "only a person can do this"
    if advice.klass > state.level:
        return f"this job runs with autopilot={state.level}, this needs {advice.klass}"
    if step > advice.expires_step:
        return f"this was good until step {advice.expires_step}"
    spent = state.spent.get(advice.id)
    if spent is not None and spent.live and spent.done:
        return f"done at step {spent.step} already"
    return ""
