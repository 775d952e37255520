"""A run as ingest sees it at one version: its parts and alerts, and what a group changes of it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from gradwatch_service.diagnose.acts import Act, Span
from gradwatch_service.domain import AlertPart, Frame, Health, JsonValue, LayerTable
from gradwatch_service.ingest.arrival import Arrival
from gradwatch_service.ingest.ledger import Ledger
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.store.advice import health_of, open_alerts, ranked_advice
from gradwatch_service.store.alerts import Kept
from gradwatch_service.store.codec import Json
from gradwatch_service.store.handed import Wishes
from gradwatch_service.store.heads import Head
from gradwatch_service.store.parts import Contribution, Share
from gradwatch_service.store.silence import Silence

ADVICE_IN_RECEIPT = 5

Contributions = Mapping[str, Mapping[str, Contribution]]  # cause -> writer -> part


@dataclass(frozen=True, slots=True)
class RunView:
    """A value; ``of`` derives health and advice from the alerts.

    ``outdated`` are the causes whose alert is open only for a launch that is over: they are
    joined anew with the first push of the next one. ``ranks``: the writers of the newest attempt
    that have reported steps; ``acts``: what people did about alerts last; ``handed``: the advice
    that they want the job to follow.
    """

    head: Head
    parts: Contributions
    alerts: Mapping[str, Kept]
    health: Health
    open_alerts: int
    advice: tuple[Json, ...]
    outdated: frozenset[str]
    ranks: frozenset[str]
    acts: Mapping[uuid.UUID, Act]
    handed: Wishes

    @staticmethod
    def of(
        head: Head,
        parts: Contributions,
        alerts: Mapping[str, Kept],
        ranks: frozenset[str],
        acts: Mapping[uuid.UUID, Act],
        handed: Wishes,
    ) -> RunView:
        """The view of a run with these parts and alerts."""
        bodies = [kept.body for kept in alerts.values()]
        names = {advice_id: wish.by for advice_id, wish in handed.items()}
        outdated = [
            cause
            for cause, shares in parts.items()
            if cause in alerts
            and alerts[cause].body["state"] != "resolved"
            and all(one.as_of(head.attempt).state == "resolved" for one in shares.values())
        ]
        return RunView(
            head=head,
            parts=parts,
            alerts=alerts,
            health=health_of(bodies),
            open_alerts=len(open_alerts(bodies)),
            advice=ranked_advice(bodies, names)[:ADVICE_IN_RECEIPT],
            outdated=frozenset(outdated),
            ranks=ranks,
            acts=acts,
            handed=handed,
        )


@dataclass(slots=True)
class RunDraft:
    """What one group changes of a run, on top of the view it began with.

    ``streams``: drafts by writer, some of which are ``touched``; the ``urgent`` are judged in this
    group, those with pushes are ``told`` the causes that changed; ``arrivals``: new frames by
    writer and seq;
    ``joined``: writers that reported steps for the first time; ``folded``: writer and frame that
    got their place in the fold, in order; ``common``: causes that changed for the run as a whole;
    ``silence``: set if nothing has been heard of it for too long; ``acts``: what people do about
    alerts; ``answered``: the advice handed to the job that it has answered;
    ``reviewed``: all alerts are joined anew, since what they stand on changed otherwise.
    """

    view: RunView
    streams: dict[str, Stream] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    urgent: dict[str, None] = field(default_factory=dict)
    told: dict[str, frozenset[str]] = field(default_factory=dict)
    arrivals: dict[tuple[str, int], Arrival] = field(default_factory=dict)
    pushes: int = 0
    last_step: int = -1
    joined: set[str] = field(default_factory=set)
    folded: list[tuple[str, Frame]] = field(default_factory=list)
    common: set[str] = field(default_factory=set)
    silence: Silence | None = None
    degraded: str | None = None
    extended: LayerTable | None = None
    changed: dict[str, dict[str, Contribution]] = field(default_factory=dict)
    acts: dict[uuid.UUID, Act] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    reviewed: bool = False

    @property
    def run_id(self) -> uuid.UUID:
        """The run."""
        return self.view.head.run_id

    @property
    def concludes(self) -> bool:
        """Whether anything changed that others must not overlook."""
        marked = self.extended is not None or self.degraded is not None
        return marked or bool(self.news or self.joined or self.answered)

    @property
    def news(self) -> Set[str]:
        """The causes whose alerts are to be joined anew."""
        new = self.changed.keys() | self.view.outdated
        return new | self.view.alerts.keys() if self.reviewed else new

    @property
    def ranks(self) -> frozenset[str]:
        """The writers of the newest attempt that have reported steps."""
        return self.view.ranks | self.joined

    @property
    def has_ranks(self) -> bool:
        """Whether there are several to compare."""
        return len(self.ranks) > 1

    def hear_of(self, stream: Stream, frame: Frame) -> None:
        """Take note of a push of the job."""
        if len(frame) and stream.first_step is None and stream.attempt == self.view.head.attempt:
            self.joined.add(stream.writer)
        stream.note_steps(frame)
        self.pushes += 1
        if stream.last_step is not None:
            self.last_step = max(self.last_step, stream.last_step)

    def hear_word(self, event: Mapping[str, JsonValue], ledger: Ledger) -> None:
        """Take note of an event, if it is what the job did with advice that was handed to it."""
        advice_id = event.get("id")
        wish = self.view.handed.get(advice_id) if isinstance(advice_id, str) else None
        if wish is not None and event["kind"] == "advice" and wish.is_answered_by(event):
            self.answered.add(str(advice_id))
            ledger.answered.append((self.run_id, str(advice_id)))

    def change(self, writer: str, contribution: Contribution, ledger: Ledger) -> None:
        """Replace a writer's part of an alert."""
        cause, share = contribution.part.cause, Share(self.run_id, contribution.part.cause, writer)
        stored = self.view.parts.get(cause, {}).get(writer)
        if share not in ledger.parts and contribution.goes_on(stored):
            ledger.moved_parts[share] = contribution.part.last_step
        else:
            ledger.parts[share] = contribution
        self.changed.setdefault(cause, {})[writer] = contribution

    def push_row(self, now: dt.datetime) -> dict[str, object]:
        """What ``store.heads.note_pushes`` writes."""
        return {
            "run": self.run_id,
            "count": self.pushes,
            "step": self.last_step,
            "now": now,
            "seen": self.view.head.version,
        }

    def contributions(self) -> Contributions:
        """Every writer's part of every alert, with the changes of this group."""
        known = self.view.parts
        return {
            **known,
            **{cause: {**known.get(cause, {}), **new} for cause, new in self.changed.items()},
        }

    def parts_of(self, cause: str) -> dict[str, AlertPart]:
        """All writers' parts of an alert, as they count in the newest attempt."""
        shares = self.contributions()[cause]
        return {writer: one.as_of(self.view.head.attempt) for writer, one in shares.items()}

    def spans_of(self, cause: str) -> tuple[Span, ...]:
        """Where its writers found an alert, each the last time."""
        shares = self.contributions()[cause]
        return tuple(one.span(self.view.head.attempt) for one in shares.values())

    def act_on(self, alert_id: uuid.UUID) -> Act | None:
        """What somebody did about an alert last."""
        return self.acts.get(alert_id) or self.view.acts.get(alert_id)
