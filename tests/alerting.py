"""Runs with channels and alerts, written as the service writes them."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gradwatch_service.domain import Severity, alert_id
from gradwatch_service.store import outbox, tables
from gradwatch_service.store.codec import rfc3339
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.outbox import Change
from gradwatch_service.store.team_tables import channels
from gradwatch_service.store.upsert import upsert

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
PROJECT = "p"
CAUSE = "learning-rate-too-high"

_versions = itertools.count(1)


def new_run(
    connection: Connection, name: str = "job", now: dt.datetime = NOW, project: str = PROJECT
) -> uuid.UUID:
    request = RunRequest(id=uuid.uuid4(), project=project, name=name)
    create_or_resume_run(connection, request, now)
    return request.id


def new_channel(
    connection: Connection,
    url: str,
    *,
    project: str = PROJECT,
    enabled: bool = True,
    **settings: Any,
) -> uuid.UUID:
    channel_id = uuid.uuid4()
    row = {
        "project": project,
        "channel_id": channel_id,
        "name": "ops",
        "kind": "webhook",
        "settings": {"url": url, **settings},
        "enabled": enabled,
        "created_at": NOW,
        "created_by": "test",
    }
    connection.execute(sa.insert(channels).values(row))
    return channel_id


def set_alert(
    connection: Connection,
    run_id: uuid.UUID,
    state: str = "firing",
    cause: str = CAUSE,
    severity: Severity = Severity.ERROR,
    **fields: Any,
) -> uuid.UUID:
    """An alert in this state, and the change of it in the outbox, in one transaction."""
    now, project = fields.pop("now", NOW), fields.get("project", PROJECT)
    key = alert_id(run_id, cause)
    body = _body(run_id, cause, now) | {"state": state, "severity": severity.label} | fields
    row = {name: body[name] for name in ("cause", "rule", "state", "actionable")}
    row |= {"run_id": run_id, "alert_id": key, "project": project, "severity": int(severity)}
    upsert(connection, tables.alerts, [row | {"body": body, "opened_at": now, "updated_at": now}])
    outbox.note(connection, [Change(run_id, key, project, next(_versions))], now)
    return key


def _body(run_id: uuid.UUID, cause: str, now: dt.datetime) -> Mapping[str, Any]:
    return {
        "id": str(alert_id(run_id, cause)),
        "run_id": str(run_id),
        "project": PROJECT,
        "cause": cause,
        "rule": "gradient-growth",
        "actionable": True,
        "confidence": 0.9,
        "opened_step": 40,
        "last_step": 48,
        "resolved_step": None,
        "regressed": False,
        "title": "The gradient explodes",
        "explanation": "It grows by half a bit a step.",
        "layers": ["fc1"],
        "advice": [{"title": "Clip the gradient norm at 1"}],
        "opened_at": rfc3339(now),
        "updated_at": rfc3339(now),
    }
