"""What a run's alerts amount to: its health, and what to do first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from gradwatch_service.diagnose.acts import ENDED_BY
from gradwatch_service.domain import Health, JsonValue, Severity
from gradwatch_service.store.codec import Json

OPEN_STATES = frozenset({"firing", "acknowledged"})


def has_ended(run_state: str, severity: Severity) -> bool:
    """Whether an alert of a run in this state is over with it.

    A finished run is done with all of them; of one that failed the grave ones wait for a person.
    """
    return run_state == "finished" or (run_state == "failed" and severity < Severity.ERROR)


def open_alerts(alerts: Iterable[Json]) -> list[Json]:
    """The alerts that are not over, and no longer pending."""
    return [alert for alert in alerts if alert["state"] in OPEN_STATES]


def unsettled(alerts: Iterable[Json]) -> list[Json]:
    """The alerts that are open, or were when the run ended: nobody has mended that."""
    return [
        alert
        for alert in alerts
        if alert["state"] in OPEN_STATES or alert.get("resolved_by") == ENDED_BY
    ]


def health_of(alerts: Iterable[Json]) -> Health:
    """Critical from severity error on, warning from severity warning on.

    That of a run which has ended is how it ended.
    """
    worst = max((severity_of(alert) for alert in unsettled(alerts)), default=Severity.INFO)
    if worst >= Severity.ERROR:
        return "critical"
    return "warning" if worst == Severity.WARNING else "ok"


def ranked_advice(
    alerts: Iterable[Json], handed: Mapping[str, str] = MappingProxyType({})
) -> tuple[Json, ...]:
    """The advice of the open alerts: the gravest alert first, then the most confident.

    Within an alert the order is the diagnosis's own: what to try first comes first. Before all
    comes what somebody has handed to the job (``handed``: advice -> by whom).
    """
    firing = sorted(
        unsettled(alerts),
        key=lambda alert: (-severity_of(alert), -cast(float, alert["confidence"]), alert["id"]),
    )
    ranked = [
        {**item, "handed_by": handed.get(cast(str, item["id"]))}
        for alert in firing
        for item in cast(Sequence[Json], alert["advice"])
    ]
    return tuple(sorted(ranked, key=lambda item: item["handed_by"] is None))  # stable


def severity_of(alert: Mapping[str, JsonValue]) -> Severity:
    """The severity its label stands for."""
    return Severity[cast(str, alert["severity"]).upper()]
