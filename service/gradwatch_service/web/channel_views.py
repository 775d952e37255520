"""Channels as the settings show them: to whom they go, what they tell, how that went last."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from gradwatch_service.notify.channels import masked
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.web.channel_fields import CHOICES, Form, forms, title_of

OUTCOMES = {
    "sent": ("ok", "delivered"),
    "pending": ("warning", "failed, tried again soon"),
    "superseded": ("info", "taken back"),
    "dead": ("critical", "given up"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the newest attempt to tell a channel something went."""

    level: str
    words: str
    at: dt.datetime | None
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel without its secrets; ``form``: to change it, None if its kind is gone."""

    id: uuid.UUID
    name: str
    kind: str
    title: str
    enabled: bool
    goes_to: str
    tells: str
    settings: dict[str, Any]
    created_at: dt.datetime
    created_by: str
    last: Outcome | None
    form: Form | None


def view_of(row: ChannelRow, last: Delivery | None) -> ChannelView:
    """A channel, and the newest attempt to deliver something there."""
    settings = masked(row.kind, row.settings)
    return ChannelView(
        id=row.channel_id,
        name=row.name,
        kind=row.kind,
        title=title_of(row.kind),
        enabled=row.enabled,
        goes_to=_goes_to(settings),
        tells=_tells(settings),
        settings=settings,
        created_at=row.created_at,
        created_by=row.created_by,
        last=None if last is None else _outcome(last),
        form=forms().get(row.kind),
    )


def _goes_to(settings: dict[str, Any]) -> str:
    if "to" in settings:
        return f"{', '.join(settings['to'])} by {settings.get('host', '')}"
    return str(settings.get("url", ""))


def _tells(settings: dict[str, Any]) -> str:
    least = str(settings.get("min_severity", "info"))
    end = ", and when it is over" if settings.get("send_resolved", True) else ""
    return CHOICES.get(least, least) + end


def _outcome(last: Delivery) -> Outcome:
    level, words = OUTCOMES[last.state]
    return Outcome(level, words, last.attempted_at, last.attempts, last.error)
