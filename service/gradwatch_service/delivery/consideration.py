"""What becomes of a channel's knowledge of one run: the policy applied to what is stored."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, cast

from gradwatch_service.delivery.knowledge import as_json, knowledge, settled
from gradwatch_service.delivery.standing import standings
from gradwatch_service.notify.policy import (
    CLOSES,
    Decision,
    Knowledge,
    Standing,
    Timing,
    Told,
    audible,
    closed,
    decide,
    knowledge_after,
)
from gradwatch_service.notify.subjects import kept
from gradwatch_service.store.advice import severity_of
from gradwatch_service.store.channels import ChannelRow
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.notices import Notice
from gradwatch_service.store.run_names import RunName
from gradwatch_service.store.silences import Silence

DELIVERIES: Final = uuid.UUID("5b1f3a0e-6d0c-5c39-9a53-3f0d2f2a7c11")


@dataclass(frozen=True, slots=True)
class Situation:
    """All there is to know of a run; ``bodies``: its alerts as in ``GET /alerts``."""

    run: RunName
    bodies: Sequence[Json]
    silences: Sequence[Silence]
    now: dt.datetime
    timing: Timing


@dataclass(frozen=True, slots=True)
class Step:
    """What a channel's knowledge of a run becomes, and what is sent for it."""

    notice: Notice
    superseded: Delivery | None = None
    added: Delivery | None = None


def consider(
    situation: Situation, notice: Notice, pending: Delivery | None, row: ChannelRow | None
) -> Step:
    """What becomes of one channel's knowledge of one run; ``row``: None if the channel is gone."""
    now = situation.now
    if pending is not None and pending.lease_until >= now:  # when it is settled, it is due at once
        return Step(replace(notice, due_at=pending.lease_until))
    if row is None:
        return Step(replace(notice, news_at=None, due_at=None), pending)
    if not row.enabled:
        return Step(_switched_off(notice, pending, now + situation.timing.repeat), pending)
    return _decided(situation, notice, pending, row.settings)


def _switched_off(notice: Notice, pending: Delivery | None, look_at: dt.datetime) -> Notice:
    """Nothing is news to a channel that is told nothing; what it knows is looked at later."""
    told = settled(knowledge(notice, pending).told, notice)
    return replace(notice, told=told, news_at=None, due_at=look_at if told else None)


def _decided(
    situation: Situation, notice: Notice, pending: Delivery | None, settings: Mapping[str, Any]
) -> Step:
    known = knowledge(notice, pending)
    alerts = standings(situation.bodies, situation.silences, situation.run, settings)
    wanted = settings.get("send_resolved") is not False
    decision = decide(known, alerts, situation.now, situation.timing, send_resolved=wanted)
    if decision.sends is not None:
        return _told(situation, notice, pending, News(known, alerts, decision, decision.sends))
    told = closed(known, alerts) if decision.reason in CLOSES else known.told
    after = replace(
        notice, told=settled(told, notice), news_at=decision.news_at, due_at=decision.look_at
    )
    return Step(after, pending)


@dataclass(frozen=True, slots=True)
class News:
    """What is to be told: what was known, how the alerts stand, and why it is told now."""

    known: Knowledge
    alerts: Sequence[Standing]
    decision: Decision
    kind: Literal["firing", "resolved"]

    @property
    def after(self) -> Mapping[uuid.UUID, Told]:
        """What will be known."""
        return knowledge_after(self.kind, self.known, self.alerts)


def _told(situation: Situation, notice: Notice, pending: Delivery | None, news: News) -> Step:
    after = replace(
        notice,
        told=settled(news.known.told, notice),
        news_at=news.decision.news_at,
        due_at=None,
        episode=notice.episode + _begins(news),
    )
    added = _delivery(situation, after, news)
    if pending is not None and _says_the_same(pending, added):
        return Step(replace(notice, news_at=after.news_at, due_at=None))
    return Step(after, pending, added)


def _begins(news: News) -> bool:
    """Whether all was well before."""
    return not any(told.state == "firing" for told in news.known.told.values())


def _says_the_same(one: Delivery, other: Delivery) -> bool:
    return (one.kind, one.body["told"]) == (other.kind, other.body["told"])


def _delivery(situation: Situation, notice: Notice, news: News) -> Delivery:
    """Its id is made of all that tells it from others, so that whoever makes it makes the same."""
    project, run_id = notice.project, notice.run_id
    version = notice.version + 1
    name = f"{project}/{run_id}/{notice.episode}/{version}/{notice.channel_id}"
    return Delivery(
        run_id=run_id,
        delivery_id=uuid.uuid5(DELIVERIES, name),
        channel_id=notice.channel_id,
        project=project,
        kind=news.kind,
        body={
            "reason": news.decision.reason,
            "run_name": situation.run.name,
            "repeats": news.decision.reason == "repeat",
            "at": rfc3339(situation.now),
            "told": as_json({k: one for k, one in news.after.items() if one.arrival != "unsent"}),
            "subjects": list(_subjects(situation, news)),
        },
        created_at=situation.now,
        due_at=situation.now,
    )


def _subjects(situation: Situation, news: News) -> Iterator[Json]:
    """What fires and may be heard, and what has ended since it was told."""
    heard = set() if news.kind == "resolved" else {one.alert_id for one in audible(news.alerts)}
    for body in situation.bodies:
        key = uuid.UUID(cast(str, body["id"]))
        told = news.known.told.get(key)
        has_ended = told is not None and told.state == "firing" and body["state"] == "resolved"
        if key in heard or has_ended:
            is_known = told is not None and told.is_known and told.severity >= severity_of(body)
            yield kept(body, is_news=has_ended or not is_known)
