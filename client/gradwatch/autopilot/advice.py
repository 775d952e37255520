"""Reads advice and alerts of the service into values the autopilot can judge; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gradwatch.news import News

GRAVE = frozenset({"error", "critical"})
OPEN = frozenset({"firing", "acknowledged"})
RATE_ACTIONS = frozenset({"scale_lr", "cap_lr", "warmup_lr"})


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold ``within_steps`` after an action: ``metric op value``, or a rule "absent"."""

    metric: str = ""
    op: str = "absent"
    value: float | None = None
    within_steps: int = 64


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to do; fields as in ``GET /runs/{id}/advice`` (``klass`` is ``class``).

    ``severity`` and ``actionable`` are those of its alert; ``handed_by``: who asks for it, if
    somebody does.
    """

    id: str
    alert_id: str
    action: str
    cause: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    klass: int = 4
    confidence: float = 0.0
    severity: str = "warning"
    actionable: bool = False
    title: str = ""
    apply_at_step: int = 0
    expires_step: int = -1
    check: Check = field(default_factory=Check)
    handed_by: str = ""

    @property
    def is_grave(self) -> bool:
        """Whether its alert is an error or worse."""
        return self.severity in GRAVE

    @property
    def lowers_rate(self) -> bool:
        """Whether it holds the learning rate down; such a thing stays even if it did not help."""
        return self.action in RATE_ACTIONS and self.factor <= 1.0

    @property
    def factor(self) -> float:
        """By what it multiplies the learning rate for good."""
        factor = number(self.params.get("factor"))
        return factor if self.action == "scale_lr" and factor is not None and factor > 0 else 1.0


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is not over."""

    id: str
    cause: str
    rule: str
    severity: str


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def step_of(value: object, default: int) -> int:
    """A step number, or the default."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def read_advice(news: News) -> tuple[Advice, ...]:
    """The advice of the newest receipt, best first; what cannot be understood is left out."""
    alerts = {alert.get("id"): alert for alert in news.alerts}
    return tuple(
        _read(item, alerts.get(item.get("alert_id"), {}))
        for item in news.advice
        if all(isinstance(item.get(key), str) for key in ("id", "alert_id", "action"))
    )


def open_alerts(news: News) -> tuple[OpenAlert, ...]:
    """What is wrong now. The health of the run outranks single alerts, which other ranks may close.

    An alert this process has not been told of is known by its advice.
    """
    if news.health == "ok":
        return ()
    found = [_alert(alert.get("id"), alert) for alert in news.alerts if alert.get("state") in OPEN]
    known = {alert.get("id") for alert in news.alerts}
    advised = {item.get("alert_id"): item for item in news.advice}
    found += [_alert(id_, item) for id_, item in advised.items() if id_ not in known]
    return tuple(found)


def _alert(id_: object, body: Mapping[str, Any]) -> OpenAlert:
    words = (str(body.get(key) or "") for key in ("cause", "rule", "severity"))
    return OpenAlert(str(id_), *words)


def _read(item: Mapping[str, Any], alert: Mapping[str, Any]) -> Advice:
    params, check = item.get("params"), item.get("verify")
    return Advice(
        id=item["id"],
        alert_id=item["alert_id"],
        action=item["action"],
        cause=str(item.get("cause") or ""),
        params=params if isinstance(params, Mapping) else {},
        klass=step_of(item.get("class"), 4),
        confidence=number(item.get("confidence")) or 0.0,
        severity=str(item.get("severity") or alert.get("severity") or "warning"),
        actionable=alert.get("actionable") is True,
        title=str(item.get("title") or item["action"]),
        apply_at_step=step_of(item.get("apply_at_step"), 0),
        expires_step=step_of(item.get("expires_step"), -1),
        check=_check(check if isinstance(check, Mapping) else {}),
        handed_by=str(item.get("handed_by") or ""),
    )


def _check(body: Mapping[str, Any]) -> Check:
    return Check(
        metric=str(body.get("metric") or ""),
        op=str(body.get("op") or "absent"),
        value=number(body.get("value")),
        within_steps=max(1, step_of(body.get("within_steps"), 64)),
    )
