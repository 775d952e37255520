"""What each writer contributes to an alert, kept so that any process can join the whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple, cast

from sqlalchemy import BigInteger, Connection, bindparam, select, update

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
from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.tables import alert_parts
from gradwatch_service.store.upsert import upsert

_move = Prepared(
    update(alert_parts)
    .where(
        alert_parts.c.run_id == bindparam("run"),
        alert_parts.c.cause == bindparam("of"),
        alert_parts.c.writer == bindparam("by"),
    )
    .values(last_step=bindparam("step", type_=BigInteger))
)


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

    def goes_on(self, before: Contribution | None) -> bool:
        """Whether it is as it was, and has only been seen later."""
        if before is None or before.part.last_step > self.part.last_step:
            return False
        return before._replace(part=replace(before.part, last_step=self.part.last_step)) == self

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
        {**share._asdict(), "attempt": attempt, "last_step": part.last_step, "body": asdict(part)}
        for share, (attempt, part) in changed.items()
    ]
    upsert(connection, alert_parts, rows)


def move(connection: Connection, moved: Mapping[Share, int]) -> None:
    """Write of parts that go on as they were where they were seen last."""
    if moved:
        _move.execute(connection, [_moving(share, step) for share, step in moved.items()])


def _moving(share: Share, step: int) -> Mapping[str, object]:
    return {"run": share.run_id, "of": share.cause, "by": share.writer, "step": step}


def of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, dict[str, Contribution]]]:
    """Run -> cause -> writer -> part."""
    query = select(alert_parts).where(alert_parts.c.run_id.in_(run_ids))
    found: dict[uuid.UUID, dict[str, dict[str, Contribution]]] = {}
    for row in connection.execute(query):
        causes = found.setdefault(row.run_id, {})
        contribution = Contribution(row.attempt, _part(row.body, row.last_step))
        causes.setdefault(row.cause, {})[row.writer] = contribution
    return found


def _part(body: Mapping[str, Any], last_step: int | None) -> AlertPart:
    fields = dict(body)
    return AlertPart(
        **{
            **fields,
            "severity": Severity(fields["severity"]),
            "last_step": max(fields["last_step"], last_step or 0),
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
