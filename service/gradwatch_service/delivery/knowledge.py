"""What a channel knows of a run, as the policy sees it: its notice, and what is on its way."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, cast

from gradwatch_service.domain import Severity
from gradwatch_service.notify.policy import Arrival, Knowledge, Told
from gradwatch_service.store.codec import Json
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.notices import Notice

_SURENESS: Final[tuple[Arrival, ...]] = ("unsent", "lost", "maybe", "told")


def knowledge(notice: Notice, pending: Delivery | None) -> Knowledge:
    """What was told, and over it what fires in a message that has not been settled yet."""
    told = told_of(notice.told)
    if pending is not None:
        arrival: Arrival = "maybe" if pending.attempts else "unsent"
        for key, one in told_of(cast(Json, pending.body["told"])).items():
            if one.state == "firing" and not _is_surer(told.get(key), arrival):
                told[key] = Told(one.state, one.severity, one.pages, arrival)
    return Knowledge(told, notice.told_at, notice.news_at)


def settled(known: Mapping[uuid.UUID, Told], notice: Notice) -> Json:
    """The same to be kept: of what never left, only what was known before."""
    before = told_of(notice.told)
    sure = {key: one for key, one in known.items() if one.arrival != "unsent"}
    return as_json({key: one for key, one in before.items() if key in known} | sure)


def lost(told: Json, body: Json) -> Json:
    """What is known after a message was given up: nothing in it is news, nor is its end awaited."""
    known = told_of(told)
    for key, one in told_of(cast(Json, body["told"])).items():
        before = known.get(key)
        is_surer = one.state == "firing" and _is_surer(before, "lost")
        arrival = before.arrival if before is not None and is_surer else "lost"
        known[key] = replace(one, arrival=arrival)
    return as_json(known)


def as_json(told: Mapping[uuid.UUID, Told]) -> Json:
    """As it is stored."""
    return {
        str(key): {
            "state": one.state,
            "severity": one.severity.label,
            "pages": one.pages,
            "arrival": one.arrival,
        }
        for key, one in sorted(told.items())
    }


def told_of(stored: Json) -> dict[uuid.UUID, Told]:
    """What ``as_json`` wrote."""
    return {
        uuid.UUID(key): Told(
            one["state"], Severity[one["severity"].upper()], one["pages"], one["arrival"]
        )
        for key, one in cast(Mapping[str, Any], stored).items()
    }


def _is_surer(before: Told | None, arrival: Arrival) -> bool:
    """Whether it was known to fire at least as surely as by a message that got so far."""
    if before is None or before.state != "firing":
        return False
    return _SURENESS.index(before.arrival) >= _SURENESS.index(arrival)
