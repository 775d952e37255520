"""Carries orders out, one lever each, and remembers how to take them back."""

from __future__ import annotations

from gradwatch.autopilot.advice import RATE_ACTIONS
from gradwatch.autopilot.order import Order
from gradwatch.integrations.bench import Bench, Undo, nothing
from gradwatch.integrations.levers import find
from gradwatch.notices import logger


class Hands:
    """Everything in force, by the id of the advice."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._in_force: dict[str, tuple[str, Undo]] = {}
        self.stopped = False

    @property
    def applied(self) -> tuple[str, ...]:
        """The actions in force, in the order in which they were applied."""
        return tuple(action for action, _ in self._in_force.values())

    def carry_out(self, order: Order) -> bool:
        """Do it; False if it cannot be done here."""
        try:
            return self._do(order)
        except RuntimeError:  # of torch, from inside a lever
            logger.exception("gradwatch: %s could not be carried out", order.action or order.verb)
            return False

    def let_go(self) -> None:
        """Take everything back."""
        for key in list(self._in_force):
            self._undo(key)

    def _do(self, order: Order) -> bool:
        match order.verb:
            case "apply":
                return self._apply(order)
            case "save":
                return self._bench.callbacks.save(order.step)
            case "undo":
                self._undo(order.id)
            case "release" | "reclaim":
                self._bench.rate.release(is_released=order.verb == "release")
            case "forget":
                self._forget_rates()
            case "stop":
                self.stopped = True
        return True

    def _apply(self, order: Order) -> bool:
        lever = find(order.action)
        undo = None if lever is None else lever(self._bench, order.params, order.id)
        if undo is None:
            return False
        if undo is not nothing:
            self._in_force[order.id] = (order.action, undo)
        return True

    def _undo(self, key: str) -> None:
        _, undo = self._in_force.pop(key, ("", nothing))
        undo()

    def _forget_rates(self) -> None:
        self._bench.rate.forget()
        for key, (action, _) in list(self._in_force.items()):
            if action in RATE_ACTIONS:
                del self._in_force[key]
