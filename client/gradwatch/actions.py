"""What the autopilot did: kept for the user, logged in one line, and told to the service."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

from gradwatch.autopilot.order import Order
from gradwatch.notices import logger

KEPT = 1000
QUIET = frozenset({"verified", "declined"})
GENTLE = frozenset({"clip_grad_norm", "skip_step", "arm_guard"})  # the guard does them anyway

Told: TypeAlias = tuple[str, Mapping[str, Any]]  # an event: kind and fields


class Actions:
    """The newest thousand, oldest first."""

    def __init__(self) -> None:
        self._newest: deque[Mapping[str, Any]] = deque(maxlen=KEPT)

    @property
    def newest(self) -> list[Mapping[str, Any]]:
        """Step, id, action, params, status and text of each."""
        return list(self._newest)

    def note(self, order: Order, *, done: bool) -> list[Told]:
        """Take in what became of an order; returns the events to report."""
        if order.verb == "save":
            return [("checkpoint", {})] if done else []
        if not order.status:
            return []
        status = order.status if done else "declined"
        told = {
            "id": order.id,
            "action": order.action,
            "status": status,
            "params": dict(order.params),
            "text": order.text,
        }
        self._newest.append({"step": order.step, **told})
        quiet = status in QUIET or order.action in GENTLE
        level = logging.INFO if quiet else logging.WARNING
        logger.log(level, "gradwatch: step %d: %s (%s)", order.step, order.text, status)
        return [("advice", told), *_resumed(order, done=done)]


def _resumed(order: Order, *, done: bool) -> list[Told]:
    if order.verb != "apply" or order.action != "rollback" or not done:
        return []
    return [("resume", {"from_step": order.params["to_step"]})]
