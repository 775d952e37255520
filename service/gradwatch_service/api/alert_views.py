"""Alerts as they are shown: with who silences them, and with all that happened to them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from gradwatch_service.diagnose.acts import ENDED, ENDED_BY
from gradwatch_service.notify.silencing import covering, labels_of
from gradwatch_service.store import acts, alerts, run_names, silences, transitions
from gradwatch_service.store.codec import Json


def in_full(connection: Connection, alert_id: uuid.UUID, now: dt.datetime) -> Json:
    """An alert, who silences it, and all that happened to it, in order."""
    found = alerts.get_alert(connection, alert_id)
    alert = next(muted(connection, [found], now, str(found["project"])))
    run_id = run_of(alert)
    past: list[Json] = [
        *transitions.of_alert(connection, run_id, alert_id),
        *acts.history(connection, run_id, alert_id),
    ]
    if alert.get("resolved_by") == ENDED_BY:
        past.append(_ending(alert))
    past.sort(key=lambda event: str(event["at"]))
    return {**alert, "history": [*past]}


def run_of(alert: Json) -> uuid.UUID:
    """The id of its run."""
    return uuid.UUID(str(alert["run_id"]))


def _ending(alert: Json) -> Json:
    """That the run has ended, as a thing that happened to its alert."""
    return {
        "writer": None,
        "by": ENDED_BY,
        "kind": "resolved",
        "step": alert["resolved_step"],
        "text": ENDED,
        "at": alert["updated_at"],
    }


def muted(
    connection: Connection, found: Sequence[Json], now: dt.datetime, project: str | None
) -> Iterator[Json]:
    """The alerts, of this project or of any, with the ids of the silences that cover them."""
    active = silences.active(connection, now, project)
    ids = {run_of(alert) for alert in found} if active else set()
    known = run_names.of_runs(connection, list(ids)) if ids else {}
    for alert in found:
        run = known.get(run_of(alert))
        muting = covering(active, labels_of(alert, run._asdict())) if run is not None else []
        yield {**alert, "silenced_by": [str(one.id) for one in muting]}
