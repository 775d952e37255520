"""What people do about an alert, laid over what was judged; its clock is the step.

Where an alert stands follows from its parts, the newest act, and whether the run has ended: from
nothing that depends on when, or in which order, they became known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from gradwatch_service.diagnose.merge import Alert
from gradwatch_service.domain import Severity

ActKind: TypeAlias = Literal["acknowledged", "resolved"]

# Who resolves what is open when a run ends, and why.
ENDED_BY, ENDED = "the end of the run", "the run has ended"


class Place(NamedTuple):
    """A place in the life of a run: a later attempt is later, whatever its steps."""

    attempt: int
    step: int


class Span(NamedTuple):
    """From where to where a writer has found an alert, the last time; ``end`` None: it still does.

    ``last`` is where it has seen it last.
    """

    begin: Place
    last: Place
    end: Place | None


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody acknowledged or resolved an alert when it was at this place and so severe."""

    number: int
    kind: ActKind
    place: Place
    severity: Severity
    by: str
    comment: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """An alert as people see it, and by whose word it stands so; None: by the detectors' alone."""

    alert: Alert
    by: str | None = None
    comment: str | None = None
    at: dt.datetime | None = None


def standing(
    alert: Alert, spans: Collection[Span], act: Act | None, *, ended: bool = False
) -> Standing:
    """Lay the newest act over an alert; an alert of a run that has ended is over."""
    found = Standing(alert) if act is None else _heeded(alert, spans, act)
    if ended and found.alert.state != "resolved":
        over = replace(found.alert, state="resolved", resolved_step=alert.last_step)
        return Standing(over, None if alert.state == "pending" else ENDED_BY, ENDED)
    return found


def reached(spans: Collection[Span]) -> Place:
    """How far an alert is known: an act of now is at this place."""
    return max(max(span.begin, span.last) for span in spans)


def _heeded(alert: Alert, spans: Collection[Span], act: Act) -> Standing:
    said = Standing(alert, act.by, act.comment, act.at)
    if act.kind == "acknowledged":
        same = alert.state == "firing" and _since(spans) <= act.place
        holds = same and alert.severity <= act.severity
        return (
            replace(said, alert=replace(alert, state="acknowledged")) if holds else Standing(alert)
        )
    if reached(spans) > act.place:  # it was seen again
        return Standing(replace(alert, regressed=True))
    return replace(said, alert=replace(alert, state="resolved", resolved_step=act.place.step))


def _since(spans: Collection[Span]) -> Place:
    """Where the trouble began that has not ceased since: some writer has always found it."""
    start = min(span.begin for span in spans if span.end is None)
    over = ((span.end, span.begin) for span in spans if span.end is not None)
    for end, begin in sorted(over, reverse=True):
        if end < start:
            break
        start = min(start, begin)
    return start
