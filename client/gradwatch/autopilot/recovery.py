"""Checkpoints: when to save one, which one to go back to, and when to give up."""

from __future__ import annotations

from dataclasses import replace

from gradwatch.autopilot.advice import Advice, step_of
from gradwatch.autopilot.order import Order, about
from gradwatch.autopilot.state import Checkpoint, Moment, State

BEFORE_ONSET = 100
SOUND_STEPS = 64
MAX_RETURNS = 2
REMEMBERED = 32
YOUNG = 1000  # steps in which starting again costs little
LOST = Advice(
    id="weights-not-finite",
    alert_id="weights-not-finite",
    action="rollback",
    cause="weights-not-finite",
    klass=3,
    confidence=1.0,
    severity="critical",
    title="Some weights are no longer finite",
)
LOST_LOSS = replace(
    LOST, id="loss-not-finite", cause="loss-not-finite", title="The loss stays no number"
)


def saving(state: State, moment: Moment) -> tuple[Order, ...]:
    """Save at the first step, then when it is time and the run has been healthy for 64 steps."""
    if not state.save_every or moment.step < state.next_save or not moment.is_sound:
        return ()
    begins = moment.step == state.first_step
    if not begins and moment.step - state.sound_since < SOUND_STEPS:
        return ()
    return (Order("save", moment.step),)


def going_back(state: State, advice: Advice, step: int) -> Order:
    """Go back to the newest healthy checkpoint 100 steps before the onset, at most twice to one.

    The first one is as good, however soon the trouble began.
    """
    latest = step_of(advice.params.get("latest_step"), step - BEFORE_ONSET)
    latest = max(latest, state.first_step)
    target = _newest(state, latest)
    if target is None:
        reason = f"no checkpoint of its own at or before step {latest}"
        return about(advice, "report", step, "declined", f"{advice.title}: {reason}")
    return _back_to(target, advice, step)


def rescue(state: State, moment: Moment) -> Order | None:
    """No update mends weights that are not finite, or a loss that stays so: go back, or stop.

    None where nothing is lost, or there is a chance left.
    """
    if not (moment.weights_lost or moment.loss_lost):
        return None
    step, lost = moment.step, LOST if moment.weights_lost else LOST_LOSS
    old, newest = _newest(state, step - BEFORE_ONSET), _newest(state, step)
    target = newest if old is None or old.step == state.first_step else old
    if target is not None:
        return _back_to(target, lost, step)
    if lost is LOST_LOSS:
        return None
    return about(lost, "stop", step, "applied", f"{lost.title}, and there is no checkpoint")


def returned(state: State, order: Order) -> State:
    """The state after a return: what came after the checkpoint is no longer part of this run."""
    target = order.params["to_step"]
    kept = tuple(mark for mark in state.checkpoints if mark.step < target)
    again = next(mark for mark in state.checkpoints if mark.step == target)
    return replace(
        state,
        checkpoints=(*kept, replace(again, returns=again.returns + 1)),
        sound_since=order.step + 1,
        next_save=order.step + state.save_every,
    )


def lost(state: State, order: Order) -> State:
    """The state after a checkpoint could not be loaded: it is not tried again."""
    target = order.params["to_step"]
    kept = tuple(mark for mark in state.checkpoints if mark.step != target)
    return replace(state, checkpoints=kept)


def remembered(state: State, step: int, *, is_saved: bool) -> State:
    """The state after an attempt to save; well under way, the first one is given up."""
    known = state.checkpoints
    if is_saved:
        kept = (mark for mark in known if not _is_outgrown(mark.step, step, state.first_step))
        known = (*kept, Checkpoint(step))[-REMEMBERED:]
    return replace(state, checkpoints=known, next_save=step + state.save_every)


def _is_outgrown(mark: int, step: int, first: int) -> bool:
    return mark == first and step - first >= YOUNG


def _newest(state: State, latest: int) -> Checkpoint | None:
    fitting = [mark for mark in state.checkpoints if mark.step <= latest]
    return fitting[-1] if fitting else None


def _back_to(target: Checkpoint, advice: Advice, step: int) -> Order:
    if target.returns >= MAX_RETURNS:
        text = f"{advice.title}: the run went back to step {target.step} twice, it cannot go on"
        return about(advice, "stop", step, "applied", text)
    skip_to = max(step_of(advice.params.get("skip_data_to_step"), step), step)
    params = {"to_step": target.step, "skip_data_to_step": skip_to}
    reason = f"{advice.title}: " if advice in (LOST, LOST_LOSS) else ""
    text = f"{reason}Go back to the checkpoint of step {target.step}"
    return replace(about(advice, "apply", step, "applied", text), params=params)
