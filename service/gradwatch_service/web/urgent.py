"""The open alerts as the board shows them: those that call, and those that may wait."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import cast

from sqlalchemy import Connection

from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.domain import Severity
from gradwatch_service.notify.silencing import covering, labels_of
from gradwatch_service.store import alert_groups, alerts, run_names, silences
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json
from gradwatch_service.store.run_names import RunName
from gradwatch_service.store.silences import Silence

SHOWN, QUIET_SHOWN = 6, 6
LOOKED_AT, LOOKED_AT_IF_SILENCED = 60, 500  # of those that fire, the gravest
SILENCED = "silenced"
GRAVE = tuple(one for one in Severity if one >= Severity.WARNING)


@dataclass(frozen=True, slots=True)
class Card:
    """One open alert; ``layer``: the first that moved; ``waits``: why nobody has to hurry."""

    alert: Json
    run: RunName
    cause: str
    layer: str | None
    waits: str | None


@dataclass(frozen=True, slots=True)
class Urgent:
    """``loud`` call for somebody, ``quiet`` do not, or no longer; a few of each.

    ``firing``: the ids of all that fire; ``count``: how many call; ``more`` and ``more_quiet``:
    how many of each are not shown.
    """

    loud: Sequence[Card]
    quiet: Sequence[Card]
    firing: Sequence[uuid.UUID]
    count: int
    more: int
    more_quiet: int


def urgent(connection: Connection, project: str | None, now: dt.datetime) -> Urgent:
    """What is open now, the gravest first."""
    fires = AlertFilters(project, states=("firing",))
    is_known = replace(fires, states=("acknowledged",))
    active = silences.active(connection, now, project)
    most = LOOKED_AT_IF_SILENCED if active else LOOKED_AT
    firing = alerts.gravest(connection, fires, most)
    known = alerts.gravest(connection, is_known, QUIET_SHOWN)
    cards = _cards(connection, [*firing, *known], active)
    loud = [card for card in cards if card.waits is None]
    quiet = [card for card in cards if card.waits is not None]
    every = alerts.ids(connection, fires)
    grave = alert_groups.by_state(connection, replace(fires, severities=GRAVE)).get("firing", 0)
    silenced = sum(card.waits == SILENCED for card in quiet)
    count = grave - silenced
    all_quiet = (
        len(every) + alert_groups.by_state(connection, is_known).get("acknowledged", 0) - count
    )
    return Urgent(
        loud=loud[:SHOWN],
        quiet=quiet[:QUIET_SHOWN],
        firing=every,
        count=count,
        more=count - len(loud[:SHOWN]),
        more_quiet=all_quiet - len(quiet[:QUIET_SHOWN]),
    )


def _cards(connection: Connection, found: Sequence[Json], active: Sequence[Silence]) -> list[Card]:
    ids = [uuid.UUID(str(alert["run_id"])) for alert in found]
    known = run_names.of_runs(connection, list(dict.fromkeys(ids))) if ids else {}
    cards = []
    for run_id, alert in zip(ids, found, strict=True):
        run = known.get(run_id)
        if run is not None:  # a run may be deleted while we look
            silenced = bool(covering(active, labels_of(alert, run._asdict())))
            cards.append(_card(alert, run, silenced=silenced))
    return cards


def _card(alert: Json, run: RunName, *, silenced: bool) -> Card:
    layers = cast(Sequence[str], alert["layers"])
    cause = str(alert["cause"])
    return Card(
        alert=alert,
        run=run,
        cause=_titles().get(cause, cause),
        layer=layers[0] if layers else None,
        waits=_waits(alert, silenced=silenced),
    )


def _waits(alert: Json, *, silenced: bool) -> str | None:
    if alert["state"] == "acknowledged":
        return f"{alert.get('acknowledged_by') or 'somebody'} looks after it"
    if alert["severity"] == Severity.INFO.label:
        return "for information"
    return SILENCED if silenced else None


@cache
def _titles() -> Mapping[str, str]:
    return {cause.id: cause.title for cause in catalogue()}
