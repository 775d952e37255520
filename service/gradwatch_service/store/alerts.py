"""Alerts as people see them: one per run and cause, and the transitions that led there."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

from sqlalchemy import BigInteger, Connection, bindparam, select, update

from gradwatch_service.diagnose.acts import Standing
from gradwatch_service.diagnose.merge import Alert
from gradwatch_service.errors import NotFound
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json, Mark, Page, plain, rfc3339
from gradwatch_service.store.paging import paged
from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.tables import alerts
from gradwatch_service.store.types import UtcDateTime
from gradwatch_service.store.upsert import upsert

_BODY = (alerts.c.body, alerts.c.last_step, alerts.c.updated_at)
_move = Prepared(
    update(alerts)
    .where(alerts.c.run_id == bindparam("run"), alerts.c.alert_id == bindparam("alert"))
    .values(
        last_step=bindparam("step", type_=BigInteger),
        updated_at=bindparam("now", type_=UtcDateTime),
    )
)


@dataclass(frozen=True)
class Incident:
    """An alert where and when it happened; ``writers`` are those that contribute to it."""

    standing: Standing
    project: str
    writers: tuple[str, ...]
    opened_at: dt.datetime
    updated_at: dt.datetime

    @property
    def alert(self) -> Alert:
        """The alert as people see it."""
        return self.standing.alert

    @cached_property
    def body(self) -> Json:
        """The alert as in ``GET /alerts``."""
        return {
            **cast(Json, plain(self.alert.as_json())),
            **_acted(self.standing),
            "project": self.project,
            "writers": list(self.writers),
            "opened_at": rfc3339(self.opened_at),
            "updated_at": rfc3339(self.updated_at),
        }


def _acted(standing: Standing) -> Json:
    """Who acknowledged or resolved it, if it stands so by somebody's word."""
    by, at = standing.by, standing.at
    known = standing.alert.state == "acknowledged"
    return {
        "acknowledged_by": by if known else None,
        "acknowledged_at": rfc3339(at) if known and at is not None else None,
        "resolved_by": None if known else by,
        "comment": standing.comment,
    }


_NO_ACTS: Json = dict.fromkeys(("acknowledged_by", "acknowledged_at", "resolved_by", "comment"))


class Kept(NamedTuple):
    """An alert as it is stored."""

    body: Json
    opened_at: dt.datetime

    def says(self, body: Json) -> bool:
        """Whether it says the same, whenever it was written, but for a later last step."""
        moved: Json = {"updated_at": "", "last_step": 0}
        return self.body | moved == body | moved and self.last_step <= cast(int, body["last_step"])

    @property
    def last_step(self) -> int:
        """Where it was seen last."""
        return cast(int, self.body["last_step"])


def move(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Write of alerts that go on as they were where they were seen last."""
    if incidents:
        rows = [
            {
                "run": incident.alert.run_id,
                "alert": incident.alert.id,
                "step": incident.alert.last_step,
                "now": incident.updated_at,
            }
            for incident in incidents
        ]
        _move.execute(connection, rows)


def save(connection: Connection, incidents: Sequence[Incident]) -> None:
    """Write the alerts that changed."""
    rows = [
        {
            "run_id": incident.alert.run_id,
            "alert_id": incident.alert.id,
            "project": incident.project,
            "cause": incident.alert.cause,
            "rule": incident.alert.rule,
            "severity": int(incident.alert.severity),
            "state": incident.alert.state,
            "actionable": incident.alert.actionable,
            "last_step": incident.alert.last_step,
            "body": incident.body,
            "opened_at": incident.opened_at,
            "updated_at": incident.updated_at,
        }
        for incident in incidents
    ]
    upsert(connection, alerts, rows)


def of_runs(
    connection: Connection, run_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, Kept]]:
    """Run -> cause -> alert."""
    query = select(alerts.c.run_id, alerts.c.cause, alerts.c.opened_at, *_BODY).where(
        alerts.c.run_id.in_(run_ids)
    )
    found: dict[uuid.UUID, dict[str, Kept]] = {}
    for row in connection.execute(query):
        found.setdefault(row.run_id, {})[row.cause] = Kept(
            _body(row.body, row.last_step, row.updated_at), row.opened_at
        )
    return found


def get_alert(connection: Connection, identity: uuid.UUID) -> Json:
    """One alert.

    Raises:
        NotFound: there is none.
    """
    found = connection.execute(select(*_BODY).where(alerts.c.alert_id == identity)).first()
    if found is None:
        raise NotFound(f"no alert {identity}")
    return _body(found.body, found.last_step, found.updated_at)


def named(connection: Connection, identities: Sequence[uuid.UUID]) -> list[Json]:
    """Those of these alerts that exist, the newest first."""
    query = select(*_BODY).where(alerts.c.alert_id.in_(identities))
    query = query.order_by(alerts.c.opened_at.desc(), alerts.c.alert_id.desc())
    rows = connection.execute(query)
    return [_body(row.body, row.last_step, row.updated_at) for row in rows]


def list_alerts(
    connection: Connection, filters: AlertFilters, cursor: str | None = None, limit: int = 100
) -> Page:
    """One page of alerts, the newest first."""
    query = select(alerts.c.opened_at, alerts.c.alert_id, *_BODY).where(*filters.conditions)
    query = paged(query, alerts.c.opened_at, alerts.c.alert_id, cursor, limit)
    rows = connection.execute(query).all()
    return Page.of(
        [
            (Mark(row.opened_at, row.alert_id), _body(row.body, row.last_step, row.updated_at))
            for row in rows
        ],
        limit,
    )


def gravest(connection: Connection, filters: AlertFilters, limit: int) -> list[Json]:
    """So many of these alerts, the gravest first, then the newest."""
    order = (alerts.c.severity.desc(), alerts.c.opened_at.desc(), alerts.c.alert_id)
    query = select(*_BODY).where(*filters.conditions).order_by(*order).limit(limit)
    return [_body(row.body, row.last_step, row.updated_at) for row in connection.execute(query)]


def ids(connection: Connection, filters: AlertFilters) -> list[uuid.UUID]:
    """The ids of all of these alerts."""
    query = select(alerts.c.alert_id).where(*filters.conditions)
    return list(connection.execute(query).scalars())


def _body(body: Json, last_step: int | None, updated_at: dt.datetime) -> Json:
    """The alert as it was written last, and where it has been seen since."""
    body = _NO_ACTS | body  # as written before there were any
    if last_step is None or last_step <= cast(int, body["last_step"]):
        return body
    return {**body, "last_step": last_step, "updated_at": rfc3339(updated_at)}
