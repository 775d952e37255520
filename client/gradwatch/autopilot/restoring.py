"""Lets the learning rate return to its schedule once, when all has been well for long enough."""

from __future__ import annotations

from dataclasses import replace

from gradwatch.autopilot.advice import GRAVE
from gradwatch.autopilot.order import Order, about
from gradwatch.autopilot.rates import RELEASE_STEPS
from gradwatch.autopilot.state import Hold, Moment, Spent, State, Trial

GOOD_STEPS = 512

Change = tuple[State, tuple[Order, ...]]


def restored(state: State, moment: Moment) -> Change:
    """After 512 good steps let go; if the trouble returns, hold again, for good."""
    hold = state.hold
    if hold is None:
        return state, ()
    if hold.released is None:
        return _release(state, hold, moment) if _may_release(state, hold, moment) else (state, ())
    if _has_trouble(state, hold):
        return _reclaim(state, hold, moment.step)
    if moment.step - hold.released < RELEASE_STEPS + GOOD_STEPS:
        return state, ()
    return replace(state, hold=None), (about(hold.advice, "forget", moment.step, "", ""),)


def _may_release(state: State, hold: Hold, moment: Moment) -> bool:
    """Only while the service is heard: silence is no good news."""
    if hold.final or state.is_open(hold.advice.alert_id):
        return False
    good_since = max(state.sound_since, hold.step + hold.advice.check.within_steps)
    heard = moment.step <= state.news.guard.expires_step
    return heard and moment.step - good_since >= GOOD_STEPS


def _release(state: State, hold: Hold, moment: Moment) -> Change:
    text = f"{GOOD_STEPS} good steps: the learning rate returns to its schedule"
    order = about(hold.advice, "release", moment.step, "undone", text)
    return replace(state, hold=replace(hold, released=moment.step)), (order,)


def _has_trouble(state: State, hold: Hold) -> bool:
    same = state.is_open(hold.advice.alert_id)
    return same or any(alert.severity in GRAVE for alert in state.alerts)


def _reclaim(state: State, hold: Hold, step: int) -> Change:
    advice = hold.advice
    trial = Trial(advice, step)
    spent = Spent(advice.alert_id, advice.action, step, trial.deadline)
    order = about(advice, "reclaim", step, "applied", f"{advice.title}: the trouble came back")
    after = replace(
        state,
        hold=replace(hold, step=step, released=None, final=True),
        trials=(*state.trials, trial),
        spent={**state.spent, advice.id: spent},
        bold_step=step,
    )
    return after, (order,)
