"""What each writer contributes to an alert, kept so that any process can join the whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, select

from gradwatch_service.diagnose.acts import Place, Span
from gradwatch_service.domain import (
    Advice,
    AlertPart,
    Evidence,
    JsonValue,
    Severity,
    Suspect,
)
from gradwatch_service.store import codec
from gradwatch_service.store.tables import alert_parts
from gradwatch_service.store.upsert import upsert


class Share(NamedTuple):
    """Whose part of which alert."""

    run_id: uuid.UUID
    cause: str
    writer: str


class Contribution(NamedTuple):
    """A part, and the attempt its writer belongs to."""

    attempt: int
    part: AlertPart

    def as_of(self, attempt: int) -> AlertPart:
        """The part as it counts in an attempt: that of a launch that is over is resolved."""
        if self.attempt >= attempt or self.part.state == "resolved":
            return self.part
        return replace(self.part, state="resolved", resolved_step=self.part.last_step)

    def span(self, attempt: int) -> Span:
        """Where its writer found the alert, the last time."""
        part = self.as_of(attempt)
        end = None if part.state != "resolved" else part.resolved_step or part.last_step
        return Span(
            begin=Place(self.attempt, part.since_step),
            last=Place(self.attempt, part.last_step),
            end=None if end is None else Place(self.attempt, end),
        )


def save(connection: Connection, changed: Mapping[Share, Contribution]) -> None:
    """Write the parts that changed."""
    rows = [
        {**share._asdict(), "attempt": attempt, "body": asdict(part)}
        for share, (attempt, part) in changed.items()
    ]
    upsert(connection, alert_parts, rows)


def of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, dict[str, Contribution]]]:
    """Run -> cause -> writer -> part."""
    query = select(alert_parts).where(alert_parts.c.run_id.in_(run_ids))
    found: dict[uuid.UUID, dict[str, dict[str, Contribution]]] = {}
    for row in connection.execute(query):
        causes = found.setdefault(row.run_id, {})
        contribution = Contribution(row.attempt, _part(row.body))
        causes.setdefault(row.cause, {})[row.writer] = contribution
    return found


def _part(body: Mapping[str, Any]) -> AlertPart:
    fields = dict(body)
    return AlertPart(
        **{
            **fields,
            "severity": Severity(fields["severity"]),
            "layers": tuple(fields["layers"]),
            "evidence": tuple(_evidence(item) for item in fields["evidence"]),
            "advice": tuple(_advice(item) for item in fields["advice"]),
            "causes": tuple(_suspect(item) for item in fields.get("causes", ())),
            "since_step": fields.get("since_step", fields["opened_step"]),
        }
    )


def _evidence(body: Mapping[str, Any]) -> Evidence:
    numbers = {key: codec.number(body[key]) for key in ("value", "threshold", "weight")}
    return Evidence(**{**body, **numbers})


def _suspect(body: Mapping[str, Any]) -> Suspect:
    sides = {side: tuple(_evidence(x) for x in body[side]) for side in ("evidence", "against")}
    return Suspect(**{**body, **sides})


def _advice(body: Mapping[str, Any]) -> Advice:
    return Advice(
        **{
            **body,
            "confidence": cast(float, codec.number(cast(JsonValue, body["confidence"]))),
            "preconditions": tuple(body["preconditions"]),
            "evidence": tuple(body["evidence"]),
        }
    )
