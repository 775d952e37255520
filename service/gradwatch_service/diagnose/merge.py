"""Joins the parts of a run's writers into its alerts, in whatever order the writers reported."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields

from gradwatch_service.domain import (
    Advice,
    AlertPart,
    AlertState,
    Evidence,
    JsonValue,
    Severity,
    Suspect,
    alert_id,
)

_LIVELIEST: tuple[AlertState, ...] = ("firing", "acknowledged", "pending", "resolved")


@dataclass(frozen=True, slots=True)
class Alert:
    """The one alert of a run and cause."""

    id: uuid.UUID
    run_id: uuid.UUID
    cause: str
    rule: str
    severity: Severity
    actionable: bool
    state: AlertState
    confidence: float
    opened_step: int
    last_step: int
    resolved_step: int | None
    regressed: bool
    title: str
    explanation: str
    layers: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    advice: tuple[Advice, ...]
    causes: tuple[Suspect, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
        """The alert as ``GET /alerts`` shows it, less what only the store knows."""
        plain: dict[str, JsonValue] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in {"evidence", "advice", "causes"}
        }
        return plain | {
            "id": str(self.id),
            "run_id": str(self.run_id),
            "severity": self.severity.label,
            "layers": list(self.layers),
            "evidence": [fact.as_json() for fact in self.evidence],
            "advice": [advice.as_json(self.id, self.severity) for advice in self.advice],
            "causes": [suspect.as_json() for suspect in self.causes],
        }


def join(run_id: uuid.UUID, parts: Mapping[str, AlertPart]) -> Alert:
    """The alert of a run and cause from the part of each writer; at least one part.

    The liveliest state wins: firing, pending, resolved. Severity and words are those of the worst
    part in that state (then the earliest, then the smallest writer name); steps span all parts.
    """
    state = min((part.state for part in parts.values()), key=_LIVELIEST.index)
    speaking = {writer: part for writer, part in parts.items() if part.state == state}
    lead = min(
        speaking, key=lambda name: (-speaking[name].severity, speaking[name].opened_step, name)
    )
    part = speaking[lead]
    return Alert(
        id=alert_id(run_id, part.cause),
        run_id=run_id,
        cause=part.cause,
        rule=part.rule,
        severity=part.severity,
        actionable=any(x.actionable for x in speaking.values()),
        state=state,
        confidence=part.confidence,
        opened_step=min(x.opened_step for x in parts.values()),
        last_step=max(x.last_step for x in parts.values()),
        resolved_step=_end(parts) if state == "resolved" else None,
        regressed=any(x.regressed for x in parts.values()),
        title=part.title,
        explanation=part.explanation,
        layers=part.layers,
        evidence=part.evidence,
        advice=part.advice,
        causes=part.causes,
    )


def _end(parts: Mapping[str, AlertPart]) -> int:
    """The step at which the last of resolved parts was."""
    return max(part.resolved_step or 0 for part in parts.values())
