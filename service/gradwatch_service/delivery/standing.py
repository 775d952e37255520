"""How the alerts of a run stand for one channel: what pages whoever listens there."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from gradwatch_service.domain import AlertState, JsonValue, Severity
from gradwatch_service.notify.policy import Standing
from gradwatch_service.notify.silencing import covering, labels_of
from gradwatch_service.store.advice import severity_of
from gradwatch_service.store.codec import Json
from gradwatch_service.store.run_names import RunName
from gradwatch_service.store.silences import Silence


def standings(
    bodies: Sequence[Json], silences: Sequence[Silence], run: RunName, settings: Mapping[str, Any]
) -> list[Standing]:
    """All alerts of a run, as a channel with these settings is concerned by them."""
    least = settings.get("min_severity")
    wanted = Severity[least.upper()] if isinstance(least, str) else Severity.INFO
    return [
        Standing(
            alert_id=uuid.UUID(cast(str, body["id"])),
            rule=cast(str, body["rule"]),
            state=cast(AlertState, body["state"]),
            severity=severity_of(body),
            pages=bool(body["actionable"]) and severity_of(body) >= wanted,
            silenced_until=_silenced_until(body, silences, run),
        )
        for body in bodies
    ]


def _silenced_until(
    body: Mapping[str, JsonValue], silences: Sequence[Silence], run: RunName
) -> dt.datetime | None:
    labels = labels_of(body, {"name": run.name, "tags": run.tags})
    return max((one.ends_at for one in covering(silences, labels)), default=None)
