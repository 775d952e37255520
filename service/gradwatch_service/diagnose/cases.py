"""The life of an alert in one writer's stream: pending, firing, resolved, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gradwatch_service.detect.episodes import Episode
from gradwatch_service.diagnose import report
from gradwatch_service.diagnose.actionable import is_actionable
from gradwatch_service.diagnose.fusion import Claim
from gradwatch_service.diagnose.situation import Mover, worst
from gradwatch_service.domain import AlertEvent, AlertPart, AlertState, Severity

# A warning must last this many reports before its alert fires; anything worse fires at once.
PERSISTENCE = 8


@dataclass(frozen=True, slots=True)
class Case:
    """An alert and what it stands on: the findings attributed to it (none once resolved).

    ``onset``: the step at which the earliest of them began in this life of the alert; ``due``: the
    report at which a pending alert fires; ``relapses``: it fired and was cleared, so that its
    return is a regression; ``mover``: the layer it named as the first to move.
    """

    part: AlertPart
    rules: frozenset[str]
    onset: int
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


def trouble_since(cases: Cases) -> int | None:
    """The step at which the earliest live alert of severity warning or worse began; None: none."""
    grave = (x for x in cases.values() if x.live and x.part.severity >= Severity.WARNING)
    return min((case.onset for case in grave), default=None)


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
    onset = min(before.onset, _onset(claim))
    kept = replace(before, rules=rules, onset=onset)
    kept = _left_behind(kept, before.rules - rules, moment, owner)
    part = _write(kept.part, claim)
    own = not rules <= before.rules or not rules.isdisjoint(moment.changed)
    if not own and not _says_more(part, kept.part):
        return kept, ()
    return _refresh(kept, part, claim, moment)


def _onset(claim: Claim) -> int:
    return min(held.opened_step for held in claim.findings)


def _says_more(part: AlertPart, before: AlertPart) -> bool:
    """Whether what happened elsewhere makes an alert surer, graver, or some advice failed."""
    graver = part.actionable and not before.actionable
    return graver or part.confidence > before.confidence or _failures(part) > _failures(before)


def _failures(part: AlertPart) -> int:
    return sum(advice.round for advice in part.advice)


def _open(before: Case | None, claim: Claim, rules: frozenset[str], moment: Moment) -> Change:
    part = replace(_write(None, claim), since_step=moment.step)
    if before is not None:
        opened = min(part.opened_step, before.part.opened_step)
        last = max(part.last_step, before.part.last_step)
        part = replace(part, opened_step=opened, last_step=last)
        part = replace(part, regressed=before.part.regressed or before.relapses)
    due = moment.ordinal + PERSISTENCE if part.state == "pending" else None
    mover = claim.verdict.situation.mover
    case = touch(Case(part, rules, _onset(claim), due, mover=mover), moment.episodes)
    again = " again" if part.regressed else ""
    event = AlertEvent(part.cause, part.state, moment.step, f"{part.title}{again}")
    return case, (event,)


def _refresh(case: Case, part: AlertPart, claim: Claim, moment: Moment) -> Change:
    """Write a live alert anew; it may only get worse while it lives."""
    after = replace(case, part=part, mover=claim.verdict.situation.mover)
    if part.state == "firing" and case.part.state == "pending":
        event = AlertEvent(part.cause, "firing", moment.step, part.title)
        return replace(after, due=None), (event,)
    worse = [f"now {part.severity.label}"] if part.severity > case.part.severity else []
    if part.actionable and not case.part.actionable:
        worse.append("needs a person now")
    if not worse:
        return after, ()
    text = f"{part.title}: {', '.join(worse)}"
    return after, (AlertEvent(part.cause, "worsened", moment.step, text),)


def _resolve(case: Case, moment: Moment, owner: Mapping[str, str]) -> Change:
    """No finding is left: all clear, or another cause explains them better."""
    takers = sorted({owner[rule] for rule in case.rules if rule in owner})
    case = _left_behind(case, case.rules, moment, owner)
    fired = case.part.state == "firing"
    part = replace(case.part, state="resolved", resolved_step=moment.step)
    taken = f"its findings are explained by: {', '.join(takers)}"
    text = f"{part.title}: {taken if takers else 'all clear'}"
    relapses = case.relapses or (fired and not takers)
    resolved = Case(part, frozenset(), case.onset, relapses=relapses)
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
    cause = claim.verdict.cause
    actionable = cause.calls and is_actionable(rules, claim.verdict.situation)
    opened = _onset(claim)
    rule, severity = lead.rule, lead.severity
    last_step = max(held.opened_step for held in claim.findings)
    if before is not None:
        opened = min(opened, before.opened_step)
        last_step = max(last_step, before.last_step)
        actionable = actionable or before.actionable
        if before.severity > severity:
            rule, severity = before.rule, before.severity
    return AlertPart(
        cause=cause.id,
        state=_state(before, severity, actionable=actionable),
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
        layers=report.layers(claim, () if before is None else before.layers),
        evidence=report.evidence(claim),
        advice=report.advice(claim),
        causes=report.causes(claim),
        since_step=0 if before is None else before.since_step,
    )


def _state(before: AlertPart | None, severity: Severity, *, actionable: bool) -> AlertState:
    """Only a warning on which nobody has to act has to last before it fires."""
    fires = severity != Severity.WARNING or actionable
    return "firing" if fires or (before is not None and before.state == "firing") else "pending"
