"""What a run's alerts amount to: its health, and what to do first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from gradwatch_service.domain import Health, JsonValue, Severity
from gradwatch_service.store.codec import Json

OPEN_STATES = frozenset({"firing", "acknowledged"})


def open_alerts(alerts: Iterable[Json]) -> list[Json]:
    """The alerts that are not over, and no longer pending."""
    return [alert for alert in alerts if alert["state"] in OPEN_STATES]


def health_of(alerts: Iterable[Json]) -> Health:
    """Critical from severity error on, warning from severity warning on."""
    worst = max((severity_of(alert) for alert in open_alerts(alerts)), default=Severity.INFO)
    if worst >= Severity.ERROR:
        return "critical"
    return "warning" if worst == Severity.WARNING else "ok"


def ranked_advice(alerts: Iterable[Json]) -> tuple[Json, ...]:
    """The advice of the firing alerts: the gravest alert first, then the most confident.

    Within an alert the order is the diagnosis's own: what to try first comes first.
    """
    firing = sorted(
        (alert for alert in alerts if alert["state"] == "firing"),
        key=lambda alert: (-severity_of(alert), -cast(float, alert["confidence"]), alert["id"]),
    )
    return tuple(item for alert in firing for item in cast(Sequence[Json], alert["advice"]))


def severity_of(alert: Mapping[str, JsonValue]) -> Severity:
    """The severity its label stands for."""
    return Severity[cast(str, alert["severity"]).upper()]
