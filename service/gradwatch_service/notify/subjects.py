"""From an alert, as the API shows it, to what a message says of it; kept between as JSON."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

from gradwatch_service.domain import JsonValue, Severity
from gradwatch_service.notify.message import Subject

Json = dict[str, JsonValue]

_KEPT: Final = (
    "id", "run_id", "cause", "rule", "severity", "state", "title", "explanation", "layers",
    "opened_step", "last_step", "regressed", "confidence", "opened_at", "updated_at",
)  # fmt: skip


def kept(alert: Mapping[str, JsonValue], *, is_news: bool) -> Json:
    """The part of an alert that a message needs."""
    advice = cast(Sequence[Mapping[str, JsonValue]], alert["advice"])
    remedies: list[JsonValue] = [one["title"] for one in advice]
    return {name: alert[name] for name in _KEPT} | {"remedies": remedies, "is_news": is_news}


def subject_of(found: Mapping[str, JsonValue], run_name: str) -> Subject:
    """What ``kept`` kept, as a message carries it."""
    is_firing = found["state"] != "resolved"
    updated_at = dt.datetime.fromisoformat(cast(str, found["updated_at"]))
    return Subject(
        alert_id=uuid.UUID(cast(str, found["id"])),
        run_id=uuid.UUID(cast(str, found["run_id"])),
        run_name=run_name,
        cause=cast(str, found["cause"]),
        rule=cast(str, found["rule"]),
        severity=Severity[cast(str, found["severity"]).upper()],
        is_firing=is_firing,
        is_news=cast(bool, found["is_news"]),
        title=cast(str, found["title"]),
        explanation=cast(str, found["explanation"]),
        layers=tuple(cast(Sequence[str], found["layers"])),
        opened_step=cast(int, found["opened_step"]),
        last_step=cast(int, found["last_step"]),
        regressed=cast(bool, found["regressed"]),
        confidence=cast(float, found["confidence"]),
        remedies=tuple(cast(Sequence[str], found["remedies"])),
        opened_at=dt.datetime.fromisoformat(cast(str, found["opened_at"])),
        ended_at=None if is_firing else updated_at,
    )


def most_urgent_first(subjects: Iterable[Subject]) -> tuple[Subject, ...]:
    """What fires before what is over, the gravest first, then what is news, then the oldest."""
    return tuple(
        sorted(
            subjects,
            key=lambda one: (
                not one.is_firing,
                -one.severity,
                not one.is_news,
                one.opened_step,
                one.alert_id,
            ),
        )
    )
