"""All that happened to an alert, in order: seen, done by people, told to channels."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gradwatch_service.notify.silencing import Labels, matches
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.silences import Silence

SEEN: Final = {
    "pending": "Noticed, waiting whether it lasts",
    "firing": "Began to fire",
    "worsened": "Got worse",
    "resolved": "Ended",
    "acknowledged": "Acknowledged",
}
ARRIVED: Final = {
    "sent": "Told to",
    "pending": "On its way to",
    "dead": "Could not be told to",
    "superseded": "Overtaken by newer news for",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened; ``kind`` chooses its mark, ``detail`` is in the words of others."""

    at: str
    kind: str
    words: str
    step: int | None = None
    by: str | None = None
    detail: str = ""


def story(
    history: Iterable[Json],
    silences: Iterable[Silence],
    deliveries: Iterable[Delivery],
    channels: Mapping[uuid.UUID, str],
) -> list[Happening]:
    """Everything, the newest first."""
    found = [
        *_seen(history),
        *(_silenced(one) for one in silences),
        *(_told(one, channels) for one in deliveries),
    ]
    return sorted(found, key=lambda one: one.at)[::-1]


def covering_ever(silences: Iterable[Silence], labels: Labels, since: str) -> list[Silence]:
    """The silences that cover an alert, or did since it opened."""
    return [one for one in silences if matches(one, labels) and rfc3339(one.ends_at) > since]


def _seen(history: Iterable[Json]) -> Iterator[Happening]:
    was_over = False
    for event in history:
        kind = str(event["kind"])
        words = SEEN.get(kind, kind)
        if kind == "firing" and was_over:
            kind, words = "regressed", "Came back"
        was_over = kind == "resolved" or (was_over and kind != "regressed")
        by = event["by"]
        yield Happening(
            at=str(event["at"]),
            kind=kind,
            words=words,
            step=int(str(event["step"])),
            by=None if by is None else str(by),
            detail=str(event["text"]),
        )


def _silenced(one: Silence) -> Happening:
    return Happening(
        rfc3339(one.created_at), "silenced", "Silenced", by=one.created_by, detail=one.comment
    )


def _told(one: Delivery, channels: Mapping[uuid.UUID, str]) -> Happening:
    name = channels.get(one.channel_id, "a channel that is gone")
    return Happening(
        at=rfc3339(one.settled_at or one.created_at),
        kind=one.state,
        words=f"{ARRIVED[one.state]} {name}",
        detail=one.error,
    )


def steps_around(alert: Json) -> Mapping[str, int]:
    """The steps at which to look at the run: the alert's, and a third of them on either side."""
    first, last = int(str(alert["opened_step"])), int(str(alert["last_step"]))
    margin = max((last - first) // 3, 20)
    return {"from": max(first - margin, 0), "to": last + margin}


def attempts_at(actions: Sequence[Json], alert: Json) -> list[str]:
    """What the job did about an alert, and how it went: each action once, with its last status."""
    found: dict[str, str] = {}
    for event in actions:
        step = event.get("step")
        is_later = isinstance(step, int) and step >= int(str(alert["opened_step"]))
        if is_later and event.get("action"):
            found[str(event["action"])] = str(event.get("status") or "")
    return [f"{action}: {status}" for action, status in found.items()]
