"""What people did about alerts: kept beside what was judged, so that a replay does not undo it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import Connection, Row, insert, select

from gradwatch_service.diagnose.acts import Act, Place
from gradwatch_service.domain import Severity
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.notice_tables import alert_acts


def add(connection: Connection, acts: Sequence[tuple[uuid.UUID, uuid.UUID, Act]]) -> None:
    """Insert new acts: run, alert, act.

    Raises:
        IntegrityError: somebody else was faster.
    """
    rows = [
        {
            "run_id": run_id,
            "alert_id": alert_id,
            "number": act.number,
            "kind": act.kind,
            "attempt": act.place.attempt,
            "step": act.place.step,
            "severity": int(act.severity),
            "by": act.by,
            "comment": act.comment,
            "at": act.at,
        }
        for run_id, alert_id, act in acts
    ]
    if rows:
        connection.execute(insert(alert_acts), rows)


def newest(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[uuid.UUID, Act]]:
    """Run -> alert -> the act that counts."""
    query = select(alert_acts).where(alert_acts.c.run_id.in_(run_ids)).order_by(alert_acts.c.number)
    found: dict[uuid.UUID, dict[uuid.UUID, Act]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, {})[row.alert_id] = _act(row)
    return found


def history(connection: Connection, run_id: uuid.UUID, alert_id: uuid.UUID) -> list[Json]:
    """All acts on an alert, the oldest first, in the form of ``transitions.of_alert``."""
    query = (
        select(alert_acts)
        .where(alert_acts.c.run_id == run_id, alert_acts.c.alert_id == alert_id)
        .order_by(alert_acts.c.number)
    )
    return [
        {
            "writer": None,
            "by": row.by,
            "kind": row.kind,
            "step": row.step,
            "text": row.comment,
            "at": rfc3339(row.at),
        }
        for row in connection.execute(query)
    ]


def _act(row: Row[tuple[object, ...]]) -> Act:
    return Act(
        number=row.number,
        kind=row.kind,
        place=Place(row.attempt, row.step),
        severity=Severity(row.severity),
        by=row.by,
        comment=row.comment,
        at=row.at,
    )
