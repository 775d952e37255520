"""Receipts as the service sends them, and a job of one process that follows the autopilot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradwatch.autopilot.decide import decide, settle
from gradwatch.autopilot.order import Order
from gradwatch.autopilot.state import Moment, State
from gradwatch.news import News

ALERT = "alert-lr"
GUARD = {"max_norm": 2.0, "skip_nonfinite": True, "expires_step": 10**9}
CLASSES = {
    "clip_grad_norm": 1,
    "skip_step": 1,
    "set_loss_scale": 1,
    "rollback": 3,
    "checkpoint_now": 3,
    "reset_moments": 3,
    "reinit_layers": 3,
    "stop": 4,
}
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "scale_lr": {"factor": 0.5},
    "cap_lr": {"max_lr": 0.01},
    "warmup_lr": {"steps": 100, "target_lr": 0.1, "start_factor": 0.01},
}


def advice(action: str, alert: str = ALERT, turn: int = 0, **changes: Any) -> dict[str, Any]:
    """One item of advice, due from step 0 on."""
    return {
        "id": f"{alert}/{action}/{turn}",
        "alert_id": alert,
        "cause": "learning-rate-too-high",
        "confidence": 0.95,
        "action": action,
        "params": PARAMS.get(action, {}),
        "class": CLASSES.get(action, 2),
        "title": f"Do {action}",
        "apply_at_step": 0,
        "expires_step": 10**9,
        "verify": {
            "metric": "update-ratio-high",
            "op": "absent",
            "value": None,
            "within_steps": 64,
        },
    } | changes


def alert(name: str = ALERT, **changes: Any) -> dict[str, Any]:
    """A firing alert."""
    return {
        "id": name,
        "state": "firing",
        "severity": "error",
        "cause": "learning-rate-too-high",
        "rule": "update-ratio-high",
        "actionable": True,
    } | changes


def firing(*items: dict[str, Any], before: News | None = None, **changes: Any) -> News:
    """What is heard while the alert fires, with this advice."""
    told = {
        "health": "critical",
        "guard": GUARD,
        "advice": list(items),
        "alerts": [alert(**changes)],
    }
    return (before or News()).after(told)


def resolved(before: News) -> News:
    """What is heard when all alerts are over."""
    over = [{**one, "state": "resolved"} for one in before.alerts]
    return before.after({"health": "ok", "guard": GUARD, "advice": [], "alerts": over})


ALL_WELL = News().after({"health": "ok", "guard": GUARD})


@dataclass
class Job:
    """Follows the autopilot step by step; ``cannot``: actions it has no means for."""

    level: int = 3
    save_every: int = 0
    news: News = ALL_WELL
    cannot: frozenset[str] = frozenset()
    median: Callable[[str], float | None] = lambda _metric: None
    step: int = 0
    done: list[tuple[int, str, str]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = State.initial(self.level, self.step, self.save_every)

    def until(self, step: int, **moment: Any) -> None:
        """Train up to this step, which is not made yet."""
        while self.step < step:
            seen = Moment(self.step, self.news, median=self.median)
            self.state, orders = decide(self.state, replace(seen, **moment))
            for order in orders:
                done = order.action not in self.cannot or order.verb != "apply"
                self.state = settle(self.state, order, done=done)
                status = order.status if done else "declined"
                self.done.append((order.step, order.action or order.verb, status))
            self.orders += orders
            self.step += 1
