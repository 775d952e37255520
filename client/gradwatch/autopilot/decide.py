"""One step of the autopilot: state and news in, state and orders out."""

from __future__ import annotations

from dataclasses import replace

from gradwatch.autopilot.advice import GRAVE, Advice, open_alerts, read_advice
from gradwatch.autopilot.choice import QUOTA, chosen
from gradwatch.autopilot.order import Order
from gradwatch.autopilot.recovery import lost, remembered, rescue, returned, saving
from gradwatch.autopilot.restoring import restored
from gradwatch.autopilot.state import Hold, Moment, Spent, State, Trial
from gradwatch.autopilot.verification import verified
from gradwatch.autopilot.wish import wished
from gradwatch.news import News

ROLLBACK_LEVEL = 3
MOST_SPENT = 256


def decide(state: State, moment: Moment) -> tuple[State, tuple[Order, ...]]:
    """What to do at this step; nothing on almost every one."""
    if _is_quiet(state, moment):
        return state, ()
    state = _heard(state, moment)
    if state.level >= ROLLBACK_LEVEL and (saved := rescue(state, moment)):
        return state, (saved,)
    state, judged = verified(state, moment)
    state, rate = restored(state, moment)
    actions = () if rate else wished(state, moment.step) or chosen(state, moment.step)
    return state, (*judged, *rate, *actions, *saving(state, moment))


def observe(state: State, moment: Moment) -> tuple[State, tuple[Order, ...]]:
    """The same where nothing is to be done: only wishes are answered, by declining them."""
    if moment.news is not state.news:
        state = _told(state, moment.news)
    return state, wished(replace(state, level=0), moment.step)


def settle(state: State, order: Order, *, done: bool) -> State:
    """The state after an order was carried out, or could not be (``done`` False)."""
    if order.verb == "save":
        return remembered(state, order.step, is_saved=done)
    if order.verb == "stop":
        return replace(state, stopped=True)
    if order.verb == "apply" and order.action == "rollback":
        state = returned(state, order) if done else lost(state, order)
    if order.verb == "apply" or order.status == "declined":
        return _dealt_with(state, order, done=done and order.verb == "apply")
    return state


def _is_quiet(state: State, moment: Moment) -> bool:
    if state.stopped:
        return True
    if moment.news is not state.news or not moment.is_sound:
        return False
    if moment.weights_lost or moment.loss_lost:
        return False
    return not state.busy and (not state.save_every or moment.step < state.next_save)


def _heard(state: State, moment: Moment) -> State:
    """Take the newest answers in, and whether the good times go on."""
    if moment.news is not state.news:
        state = _told(state, moment.news)
    grave = any(alert.severity in GRAVE for alert in state.alerts)
    held = state.hold is not None and state.is_open(state.hold.advice.alert_id)
    if moment.is_sound and not grave and not held:
        return state
    return replace(state, sound_since=moment.step + 1)


def _told(state: State, news: News) -> State:
    """An alert that is over frees its advice for another time."""
    alerts = open_alerts(news)
    live = {alert.id for alert in alerts}
    spent = {
        id_: one if one.alert_id in live else replace(one, live=False)
        for id_, one in state.spent.items()
    }
    advice = read_advice(news)
    wishes = {one.id for one in advice if one.handed_by}
    return replace(
        state,
        news=news,
        advice=advice,
        alerts=alerts,
        spent=spent,
        answered=state.answered & wishes,
    )


def _dealt_with(state: State, order: Order, *, done: bool) -> State:
    advice = next((one for one in state.advice if one.id == order.id), None)
    if advice is None:  # our own: some weights are not finite
        return state
    if advice.handed_by:
        state = replace(state, answered=state.answered | {advice.id})
    before = state.spent.get(advice.id)
    if not done and before is not None and before.live and before.done:
        return state  # declined because it is in force
    trial = Trial(replace(advice, params=order.params), order.step)
    waits = trial.deadline if done and advice.klass > 1 else order.step
    now_spent = Spent(advice.alert_id, advice.action, order.step, waits, done=done)
    spent = dict([*state.spent.items(), (advice.id, now_spent)][-MOST_SPENT:])
    if not done:
        return replace(state, spent=spent)
    return replace(
        state,
        spent=spent,
        trials=(*state.trials, trial),
        acted=(*state.acted, order.step)[-QUOTA:] if advice.klass == 2 else state.acted,
        bold_step=order.step if advice.klass > 1 else state.bold_step,
        hold=_held(state.hold, advice, order.step),
    )


def _held(hold: Hold | None, advice: Advice, step: int) -> Hold | None:
    if not advice.lowers_rate:
        return hold
    if hold is None:
        return Hold(advice, step, advice.factor)
    final = hold.final or hold.released is not None
    return Hold(advice, step, hold.factor * advice.factor, final=final)
