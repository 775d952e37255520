"""Flies a PyTorch job: asks the autopilot, tells all ranks, pulls the levers, applies the guard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from gradwatch import guard
from gradwatch.autopilot.decide import ROLLBACK_LEVEL, decide, observe, settle
from gradwatch.autopilot.order import Order, Word
from gradwatch.autopilot.recent import Recent
from gradwatch.autopilot.state import Moment, State
from gradwatch.guard import Decision, Guard, Skips
from gradwatch.integrations.bench import Bench
from gradwatch.integrations.device_guard import DeviceGuard
from gradwatch.integrations.foreach import Sent, sanitise, scale
from gradwatch.integrations.hands import Hands
from gradwatch.integrations.module_tree import Watched
from gradwatch.integrations.ranks import Alone, Ranks, connect, is_first
from gradwatch.integrations.shards import Whole
from gradwatch.records import Measured
from gradwatch.watching import Means

if TYPE_CHECKING:
    from gradwatch.run import Run

LOST_LOSSES = 16
GUARD_LEVEL = 1  # beyond, more than the guard acts on what is measured
Gradients = Sequence[torch.Tensor | None]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to make the update, and what to report beside what was measured."""

    update: bool = True
    scalars: Mapping[str, float] = field(default_factory=dict)


PASS = Verdict()
REFUSE = Verdict(update=False, scalars={"skipped": 1.0})


class Pilot:
    """The acting side of one monitor; ``observes``: it only watches, by choice or necessity."""

    def __init__(self, run: Run, bench: Bench, state: State, recent: Recent) -> None:
        self._run = run
        self._bench = bench
        self._state = state
        self._recent = recent
        self._hands = Hands(bench)
        self._device = DeviceGuard(bench.optimizer)
        self._ranks: Ranks = Alone()
        self._skips = Skips()
        self._calls = 0
        self._is_sound = True
        self._weights_lost = False
        self._losses_lost = 0
        self.observes = state.level == 0

    @staticmethod
    def of(run: Run, watched: Sequence[Watched], bench: Bench, means: Means) -> Pilot:
        """The pilot of one monitor, at the level the user chose."""
        saves = means.level >= ROLLBACK_LEVEL and means.save is not None
        state = State.initial(means.level, bench.step, means.save_every if saves else 0)
        return Pilot(run, bench, state, Recent([item.layer for item in watched]))

    @property
    def level(self) -> int:
        """What the user allows."""
        return self._state.level

    @property
    def stopped(self) -> bool:
        """Whether the run cannot go on."""
        return self._hands.stopped

    @property
    def applied(self) -> tuple[str, ...]:
        """The actions in force."""
        return self._hands.applied

    def begin(self, step: int) -> None:
        """A step begins: damp gradients before anybody looks at them."""
        self._bench.step = self._bench.rate.step = step
        self._bench.damping.apply(step)
        self._device.forget()

    @property
    def looks_first(self) -> bool:
        """Whether orders depend on what is measured at their own step."""
        return self._state.level > GUARD_LEVEL

    @property
    def is_armed(self) -> bool:
        """Whether the guard may act at this step."""
        return not self.observes and self._bench.step <= self._bench.limits.expires_step

    def look(self, measured: Measured) -> None:
        """Notice what was lost."""
        if self.observes:
            return
        scalars = measured.scalars
        values = (scalars.get("loss", 0.0), scalars.get("grad_norm", 0.0))
        if not all(map(math.isfinite, values)):  # weights that are lost show here at once
            self._is_sound = False
            weights = measured.arrays.get("weight_norm")
            self._weights_lost = weights is not None and not np.isfinite(weights).all()
        self._losses_lost = 0 if math.isfinite(values[0]) else self._losses_lost + 1

    def follow(self) -> Verdict:
        """Carry out the orders of this step."""
        if self.observes:
            self._decline()
            return REFUSE if self.stopped else PASS
        try:
            went_back = [order for order in self._orders() if self._carry_out(order)]
        except RuntimeError as error:
            self._observe(error)
            return PASS
        return REFUSE if went_back or self.stopped else PASS

    def judge(self, scalars: Mapping[str, float], gradients: Gradients) -> Verdict:
        """Apply the guard to the gradients of this step."""
        norm = scalars.get("grad_norm")
        if self.observes or norm is None or _is_left_to_scaler(scalars, norm):
            return PASS
        decision = self._decided(self._bench.limits, norm, self._bench.step)
        return _obey(decision, norm, gradients, self._bench.whole)

    def judge_unseen(self, sent: Sent, gradients: Gradients) -> Guard | None:
        """Let the device apply the guard, by these limits; None: the host must look at the step.

        It must where the optimizer cannot leave an update out by itself, where it would have to add
        up over ranks or respect a loss scale, and where no more updates may be skipped in a row.
        """
        bench, limits = self._bench, self._bench.limits
        count = sum(gradient is not None for gradient in gradients)
        scaled = bench.is_scaled or "loss_scale" in sent.scalars
        here = not (bench.whole.is_shared or scaled) and self._skips.allows(limits, bench.step)
        if not (here and self._device.can_act and count):
            return None
        self._device.apply(limits, sent.stacked[:count], gradients)
        return limits

    def hear(self, limits: Guard, scalars: Mapping[str, float], step: int) -> Verdict:
        """What the device did at an earlier step, by its norm."""
        norm = scalars["grad_norm"]
        decision = self._decided(limits, norm, step)
        return REFUSE if decision.skip else _clipped(decision, norm)

    def learn(self, measured: Measured) -> None:
        """Take in a complete report, from which the effect of actions is judged."""
        self._recent.add(measured)

    def rate(self, scheduled: float) -> float:
        """The learning rate that this step's update will use."""
        return self._bench.rate.effective(scheduled)

    def end(self) -> None:
        """Take every change back: nobody watches any more."""
        self.observes = True
        self._hands.let_go()
        self._device.leave()

    def _decided(self, limits: Guard, norm: float, step: int) -> Decision:
        decision = guard.decide(limits, norm, step, self._skips)
        self._skips = self._skips.after(decision, step)
        self._run.note_decision(decision, norm, step)
        return decision

    def _orders(self) -> tuple[Order, ...]:
        """The orders of this step; the limits in force come with them."""
        if not self._calls:
            self._ranks = connect()
        calls, self._calls = self._calls, self._calls + 1
        if not self._ranks.is_turn(calls):
            return ()
        word = self._ranks.share(self._decide() if self._ranks.is_lead else Word())
        self._bench.guard = word.guard
        return word.orders

    def _decide(self) -> Word:
        news, step = self._run.news, self._bench.step
        lost = self._weights_lost, self._losses_lost >= LOST_LOSSES
        moment = Moment(step, news, self._is_sound, *lost, self._recent.median)
        self._is_sound, self._weights_lost = True, False
        self._state, orders = decide(self._state, moment)
        return Word(news.guard, orders)

    def _carry_out(self, order: Order) -> bool:
        """Do it on this rank; True if the weights are now those of a checkpoint."""
        done: bool | None = self._hands.carry_out(order)
        goes_back = order.verb == "apply" and order.action == "rollback"
        if goes_back:
            done = self._ranks.agree(done=bool(done))
            self._hands.stopped |= done is None  # replicas are no longer replicas
        if self._ranks.is_lead:
            self._state = settle(self._state, order, done=bool(done))
            self._run.note_order(order, done=bool(done))
        return goes_back and done is not False

    def _decline(self) -> None:
        """Who only observes says so to those who hand an action to this job."""
        news = self._run.news
        if not news.advice or not is_first():
            return
        self._state, orders = observe(self._state, Moment(self._bench.step, news))
        for order in orders:
            self._state = settle(self._state, order, done=True)
            self._run.note_order(order, done=True)

    def _observe(self, error: RuntimeError) -> None:
        self.observes = True
        self._ranks.leave()
        self._run.warn("ranks", f"the ranks do not decide together ({error}); observing only")


def _is_left_to_scaler(scalars: Mapping[str, float], norm: float) -> bool:
    """Under a loss scale an infinite gradient is usual: the scaler skips, and learns from it."""
    return not math.isfinite(norm) and scalars.get("loss_scale", 1.0) != 1.0


def _obey(decision: Decision, norm: float, gradients: Gradients, whole: Whole) -> Verdict:
    if decision.skip:
        return REFUSE
    if decision.sanitise_to is not None:
        count = sanitise(gradients, decision.sanitise_to, whole)
        return Verdict(scalars={"sanitised": count, "clip_norm": decision.sanitise_to})
    if decision.clip < 1.0:
        scale(gradients, decision.clip)
    return _clipped(decision, norm)


def _clipped(decision: Decision, norm: float) -> Verdict:
    """What to report of a gradient that was clipped, if it was: the limit."""
    if decision.clip < 1.0:
        return Verdict(scalars={"clip_norm": decision.clip * (norm + 1e-6)})
    return PASS
