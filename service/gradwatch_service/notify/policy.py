"""Decides, from what a channel knows of a run and how its alerts stand, whether to tell it now."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from gradwatch_service.domain import AlertState, Severity
from gradwatch_service.notify.inhibition import inhibited

# told: it arrived; maybe: it was tried and nobody knows; lost: given up; unsent: it never left.
Arrival: TypeAlias = Literal["unsent", "lost", "maybe", "told"]
Reason: TypeAlias = Literal[
    "firing-new",
    "worse",
    "resolved",
    "repeat",
    "waiting-for-group",
    "waiting-for-interval",
    "waiting-for-repeat",
    "partly-resolved",
    "acknowledged",
    "all-silenced",
    "inhibited",
    "not-paging",
    "nothing-new",
    "suppressed-resolve",
    "resolve-not-wanted",
]

SENDS: Final[Mapping[Reason, Literal["firing", "resolved"]]] = {
    "firing-new": "firing",
    "worse": "firing",
    "repeat": "firing",
    "resolved": "resolved",
}
# Nothing is sent, and from then on the channel counts as knowing that all is well.
CLOSES: Final[frozenset[Reason]] = frozenset({"suppressed-resolve", "resolve-not-wanted"})
OPEN: Final[frozenset[AlertState]] = frozenset({"firing", "acknowledged"})


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to collect first, how long between messages of a run, and when to say it again."""

    group_wait: dt.timedelta = dt.timedelta(seconds=5)
    group_interval: dt.timedelta = dt.timedelta(minutes=5)
    repeat: dt.timedelta = dt.timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel was last told of an alert; ``pages``: whether it made a message by itself."""

    state: Literal["firing", "resolved"]
    severity: Severity
    pages: bool
    arrival: Arrival = "told"

    @property
    def is_known(self) -> bool:
        """Whether to say it again would be no news; what was given up is not tried as news."""
        return self.state == "firing" and self.arrival in {"told", "lost"}

    @property
    def wants_resolution(self) -> bool:
        """Whether somebody may wait to hear that it is over."""
        return self.state == "firing" and self.pages and self.arrival in {"told", "maybe"}


@dataclass(frozen=True, slots=True)
class Standing:
    """How an alert stands; ``pages``: it calls for whoever listens on this channel."""

    alert_id: uuid.UUID
    rule: str
    state: AlertState
    severity: Severity
    pages: bool
    silenced_until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a channel knows of a run; ``news_at``: since when there is something to tell."""

    told: Mapping[uuid.UUID, Told] = field(default_factory=dict)
    told_at: dt.datetime | None = None
    news_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to tell, why, when to look again unless something changes; ``news_at`` to keep."""

    reason: Reason
    look_at: dt.datetime | None = None
    news_at: dt.datetime | None = None

    @property
    def sends(self) -> Literal["firing", "resolved"] | None:
        """The kind of the message to send now, if any."""
        return SENDS.get(self.reason)


def decide(
    known: Knowledge,
    alerts: Sequence[Standing],
    now: dt.datetime,
    timing: Timing,
    *,
    send_resolved: bool = True,
) -> Decision:
    """Whether to tell a channel of a run now, with the reason; a pure function."""
    heard = audible(alerts)
    news = [one for one in heard if _is_news(one, known)]
    if news:
        return _announce(known, news, now, timing)
    told = {key: one for key, one in known.told.items() if one.state == "firing" and one.pages}
    if not told or told.keys() & _open(alerts):
        return _keep_quiet(known, alerts, heard, now, timing)
    if not any(one.wants_resolution for one in told.values()):
        return Decision("suppressed-resolve")
    return _close(known, now, timing) if send_resolved else Decision("resolve-not-wanted")


def audible(alerts: Sequence[Standing]) -> list[Standing]:
    """The open alerts that neither a silence nor a graver alert keeps quiet."""
    quiet = inhibited(frozenset(one.rule for one in alerts if one.state in OPEN))
    return [
        one
        for one in alerts
        if one.state in OPEN and one.silenced_until is None and one.rule not in quiet
    ]


def knowledge_after(
    sent: Literal["firing", "resolved"], known: Knowledge, alerts: Sequence[Standing]
) -> dict[uuid.UUID, Told]:
    """What the channel knows once it has been told; an end speaks only of what is over."""
    if sent == "resolved":
        return closed(known, alerts)
    heard = {one.alert_id: Told("firing", one.severity, one.pages) for one in audible(alerts)}
    return closed(known, alerts) | heard


def closed(known: Knowledge, alerts: Sequence[Standing]) -> dict[uuid.UUID, Told]:
    """What it knows, where all that is over counts as told to be over."""
    over = known.told.keys() - _open(alerts)
    return {
        key: replace(told, state="resolved", arrival="told") if key in over else told
        for key, told in known.told.items()
    }


def _open(alerts: Sequence[Standing]) -> frozenset[uuid.UUID]:
    return frozenset(one.alert_id for one in alerts if one.state in OPEN)


def _is_news(one: Standing, known: Knowledge) -> bool:
    if not one.pages or one.state != "firing":
        return False
    told = known.told.get(one.alert_id)
    return told is None or not told.is_known or not told.pages or one.severity > told.severity


def _announce(
    known: Knowledge, news: Sequence[Standing], now: dt.datetime, timing: Timing
) -> Decision:
    since = known.news_at or now
    grouped, rested = since + timing.group_wait, since
    if known.told_at is not None and not _is_urgent(known, news):
        rested = known.told_at + timing.group_interval
    if now < grouped:
        return Decision("waiting-for-group", max(grouped, rested), since)
    if now < rested:
        return Decision("waiting-for-interval", rested, since)
    return Decision("worse" if _is_worse(known, news) else "firing-new", None, since)


def _is_urgent(known: Knowledge, news: Sequence[Standing]) -> bool:
    """Worse than all that is known, or after all was well something that was never told before.

    What comes back waits for the interval: an alert that flaps does not page each time.
    """
    if _severities(known):
        return _is_worse(known, news)
    before = {key for key, told in known.told.items() if told.arrival in {"told", "lost"}}
    return not any(one.alert_id in before for one in news)


def _is_worse(known: Knowledge, news: Sequence[Standing]) -> bool:
    told = _severities(known)
    return bool(told) and max(one.severity for one in news) > max(told)


def _severities(known: Knowledge) -> list[Severity]:
    return [told.severity for told in known.told.values() if told.is_known and told.pages]


def _close(known: Knowledge, now: dt.datetime, timing: Timing) -> Decision:
    """All is well: told after ``group_wait``, in which the rest may end or the same come back."""
    since = known.news_at or now
    ready = since + timing.group_wait
    if now < ready:
        return Decision("waiting-for-group", ready, since)
    return Decision("resolved", None, since)


def _keep_quiet(
    known: Knowledge,
    alerts: Sequence[Standing],
    heard: Sequence[Standing],
    now: dt.datetime,
    timing: Timing,
) -> Decision:
    paging = [one for one in alerts if one.pages and one.state in OPEN]
    if not paging:
        return Decision("not-paging" if _open(alerts) else "nothing-new")
    # A silence may also be ended early, which is no change of an alert.
    soon = now + timing.group_interval
    looks = [min(one.silenced_until, soon) for one in paging if one.silenced_until is not None]
    unheard = _why_unheard([one for one in heard if one.pages], len(looks) == len(paging))
    if unheard is not None:
        return Decision(unheard, _first(looks))
    again = (known.told_at or now) + timing.repeat
    if again <= now:
        return Decision("repeat")
    return Decision(_why_only_later(known, paging), _first([*looks, again]))


def _why_unheard(paging: Sequence[Standing], all_silenced: bool) -> Reason | None:
    """Why nothing that pages is repeated, if so; ``paging``: what is still audible of it."""
    if not paging:
        return "all-silenced" if all_silenced else "inhibited"
    return "acknowledged" if all(one.state == "acknowledged" for one in paging) else None


def _why_only_later(known: Knowledge, paging: Sequence[Standing]) -> Reason:
    open_now = {one.alert_id for one in paging}
    over = (told for key, told in known.told.items() if key not in open_now)
    is_partly_over = any(told.wants_resolution for told in over)
    return "partly-resolved" if is_partly_over else "waiting-for-repeat"


def _first(times: Iterable[dt.datetime]) -> dt.datetime | None:
    return min(times, default=None)
