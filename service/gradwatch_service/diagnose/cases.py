"""The life of an alert in one writer's stream: pending, firing, resolved, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gradwatch_service.detect.episodes import Episode
from gradwatch_service.diagnose import report
from gradwatch_service.diagnose.actionable import is_actionable
from gradwatch_service.diagnose.fusion import Claim, worst
from gradwatch_service.diagnose.situation import Mover
from gradwatch_service.domain import AlertEvent, AlertPart, AlertState, Severity

# A warning must last this many reports before its alert fires; anything worse fires at once.
PERSISTENCE = 8


@dataclass(frozen=True, slots=True)
class Case:
    """An alert and what it stands on: the findings attributed to it (none once resolved).

    ``due``: the report at which a pending alert fires; ``relapses``: it fired and was cleared, so
    that its return is a regression; ``mover``: the layer it named as the first to move.
    """

    part: AlertPart
    rules: frozenset[str]
    due: int | None = None
    relapses: bool = False
    mover: Mover | None = None

    @property
    def live(self) -> bool:
        """Whether the alert is pending or firing."""
        return self.part.state != "resolved"


Cases = Mapping[str, Case]
Change = tuple[Case, tuple[AlertEvent, ...]]


@dataclass(frozen=True, slots=True)
class Moment:
    """The report at which findings changed; ``episodes``: as they stood before this segment."""

    ordinal: int
    step: int
    changed: frozenset[str]
    episodes: Mapping[str, Episode]


def settle(
    cases: Cases, claims: tuple[Claim, ...], moment: Moment
) -> tuple[dict[str, Case], tuple[AlertEvent, ...]]:
    """Bring the alerts in line with what the causes claim at this moment."""
    after = dict(cases)
    owner = {held.rule: claim.verdict.cause.title for claim in claims for held in claim.findings}
    claimed = {claim.verdict.cause.id for claim in claims}
    events: list[AlertEvent] = []
    for claim in claims:
        cause = claim.verdict.cause.id
        after[cause], new = _claim(cases.get(cause), claim, moment, owner)
        events += new
    for cause, case in cases.items():
        if case.live and cause not in claimed:
            after[cause], new = _resolve(case, moment, owner)
            events += new
    return after, tuple(events)


def promote(
    cases: Cases, ordinal: int, step: int
) -> tuple[dict[str, Case], tuple[AlertEvent, ...]]:
    """Fire the pending alerts whose persistence is over at this report."""
    after, events = dict(cases), []
    for cause, case in cases.items():
        if case.due == ordinal:
            after[cause] = replace(case, part=replace(case.part, state="firing"), due=None)
            events.append(AlertEvent(cause, "firing", step, case.part.title))
    return after, tuple(events)


def touch(case: Case, episodes: Mapping[str, Episode]) -> Case:
    """Move the last step of a live alert to where its findings held last."""
    steps = [episodes[rule].last_step for rule in case.rules if rule in episodes]
    newest = max(steps, default=case.part.last_step)
    if newest <= case.part.last_step:
        return case
    return replace(case, part=replace(case.part, last_step=newest))


def _claim(before: Case | None, claim: Claim, moment: Moment, owner: Mapping[str, str]) -> Change:
    rules = frozenset(held.rule for held in claim.findings)
    if before is None or not before.live:
        return _open(before, claim, rules, moment)
    kept = _left_behind(replace(before, rules=rules), before.rules - rules, moment, owner)
    if rules <= before.rules and rules.isdisjoint(moment.changed):
        return kept, ()
    return _refresh(kept, claim, moment)


def _open(before: Case | None, claim: Claim, rules: frozenset[str], moment: Moment) -> Change:
    part = _write(None, claim)
    if before is not None:
        opened = min(part.opened_step, before.part.opened_step)
        last = max(part.last_step, before.part.last_step)
        part = replace(part, opened_step=opened, last_step=last)
        part = replace(part, regressed=before.part.regressed or before.relapses)
    due = moment.ordinal + PERSISTENCE if part.state == "pending" else None
    mover = claim.verdict.situation.mover
    case = touch(Case(part, rules, due, mover=mover), moment.episodes)
    again = " again" if part.regressed else ""
    event = AlertEvent(part.cause, part.state, moment.step, f"{part.title}{again}")
    return case, (event,)


def _refresh(case: Case, claim: Claim, moment: Moment) -> Change:
    """New evidence for a live alert: write it anew; it may only get worse while it lives."""
    part = _write(case.part, claim)
    after = replace(case, part=part, mover=claim.verdict.situation.mover)
    if part.state == "firing" and case.part.state == "pending":
        event = AlertEvent(part.cause, "firing", moment.step, part.title)
        return replace(after, due=None), (event,)
    if part.severity == case.part.severity:
        return after, ()
    text = f"{part.title}: now {part.severity.label}"
    return after, (AlertEvent(part.cause, "worsened", moment.step, text),)


def _resolve(case: Case, moment: Moment, owner: Mapping[str, str]) -> Change:
    """No finding is left: all clear, or another cause explains them better."""
    takers = sorted({owner[rule] for rule in case.rules if rule in owner})
    case = _left_behind(case, case.rules, moment, owner)
    fired = case.part.state == "firing"
    part = replace(case.part, state="resolved", resolved_step=moment.step)
    taken = f"its findings are explained by: {', '.join(takers)}"
    text = f"{part.title}: {taken if takers else 'all clear'}"
    resolved = Case(part, frozenset(), relapses=case.relapses or (fired and not takers))
    return resolved, (AlertEvent(part.cause, "resolved", moment.step, text),)


def _left_behind(
    case: Case, lost: frozenset[str], moment: Moment, owner: Mapping[str, str]
) -> Case:
    """A finding that goes on under another cause held here until this report."""
    if lost.isdisjoint(owner):
        return case
    last = max(case.part.last_step, moment.step)
    return replace(case, part=replace(case.part, last_step=last))


def _write(before: AlertPart | None, claim: Claim) -> AlertPart:
    lead = worst(claim.findings)
    rules = [held.rule for held in claim.findings]
    actionable = is_actionable(rules, claim.verdict.situation)
    opened = min(held.opened_step for held in claim.findings)
    rule, severity = lead.rule, lead.severity
    last_step = max(held.opened_step for held in claim.findings)
    if before is not None:
        opened = min(opened, before.opened_step)
        last_step = max(last_step, before.last_step)
        actionable = actionable or before.actionable
        if before.severity > severity:
            rule, severity = before.rule, before.severity
    return AlertPart(
        cause=claim.verdict.cause.id,
        state=_state(before, severity),
        rule=rule,
        severity=severity,
        actionable=actionable,
        confidence=claim.verdict.confidence,
        opened_step=opened,
        last_step=last_step,
        resolved_step=None,
        regressed=before is not None and before.regressed,
        title=report.title(claim, opened),
        explanation=report.explanation(claim),
        layers=report.layers(claim),
        evidence=report.evidence(claim),
        advice=report.advice(claim),
    )


def _state(before: AlertPart | None, severity: Severity) -> AlertState:
    """Only a warning has to last before it fires."""
    fires = severity != Severity.WARNING or (before is not None and before.state == "firing")
    return "firing" if fires else "pending"
