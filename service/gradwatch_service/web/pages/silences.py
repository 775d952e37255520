"""The page of silences, and what a new one would cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.responses import Response

from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import READ, Who
from gradwatch_service.api.alert_views import run_of
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import Name
from gradwatch_service.api.queries import MAX_LIMIT
from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue as causes
from gradwatch_service.domain import Severity
from gradwatch_service.notify.silencing import NAMES, labels_of, matches
from gradwatch_service.store import alerts, projects, run_names, silences
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json
from gradwatch_service.store.silences import Matcher
from gradwatch_service.web.alert_list import Reader
from gradwatch_service.web.alert_query import OPEN
from gradwatch_service.web.pages.alerts import seen
from gradwatch_service.web.rendering import page
from gradwatch_service.web.silence_query import OPERATORS, PreviewAsked, PreviewQuery

router = APIRouter(include_in_schema=False)

PAST = 50
# What the values of some labels can be.
KNOWN = {
    "cause": [one.id for one in causes()],
    "rule": [one.id for one in rules()],
    "severity": [one.label for one in Severity],
}


class SilencesQuery(BaseModel):
    """``cursor``: of those that are over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    project: Annotated[Name | None, BeforeValidator(lambda value: value or None)] = None
    cursor: Annotated[str | None, Field(max_length=200)] = None


@dataclass(frozen=True, slots=True)
class _Draft:
    """What ``notify.silencing`` compares with alerts."""

    project: str
    matchers: tuple[Matcher, ...]


@router.get("/alerts/silences")
@allows(READ, of=Owner.LIST)
def get_silences(
    request: Request, backend: Served, asked: Annotated[SilencesQuery, Query()], who: Who
) -> Response:
    """Show which silences hold, which are to come, which are over; a form for a new one."""
    project, now = who.narrow(asked.project), backend.clock()
    with backend.reading() as connection:
        found = {
            state: silences.list_silences(
                connection, now, project=project, state=state, limit=MAX_LIMIT
            ).items
            for state in ("active", "pending")
        }
        over = silences.list_silences(
            connection, now, project=project, state="expired", cursor=asked.cursor, limit=PAST
        )
        names = [one["name"] for one in projects.seen_by(connection, who.project)]
    return page(
        request,
        "silences.html",
        asked=asked,
        standing=[*found["active"], *found["pending"]],
        over=over,
        projects=names,
        labels=[name for name in NAMES if name != "project"],
        operators=OPERATORS,
        known=KNOWN,
        **seen(who, now),
    )


@router.get("/alerts/silences/preview")
@allows(READ, of=Owner.LIST)
def get_preview(request: Request, backend: Served, asked: PreviewAsked, who: Who) -> Response:
    """Show which of the alerts that are open a silence would cover."""
    now = backend.clock()
    with backend.reading() as connection:
        reader = Reader(connection, who.narrow(asked.project), now)
        rows = _covered(reader, asked) if asked.problem is None else []
    return page(request, "silence_preview.html", asked=asked, rows=rows, **seen(who, now))


def _covered(reader: Reader, asked: PreviewQuery) -> list[Json]:
    """The open alerts that a silence would cover; one of no project, or of all, covers none."""
    if not asked.matchers or reader.project is None:
        return []
    draft = _Draft(reader.project, asked.matchers)
    filters = AlertFilters(reader.project, states=OPEN)
    found = alerts.list_alerts(reader.connection, filters, None, MAX_LIMIT).items
    known = run_names.of_runs(reader.connection, [run_of(one) for one in found])
    return [
        row
        for row in reader.rows([one for one in found if run_of(one) in known])
        if matches(draft, labels_of(row, known[run_of(row)]._asdict()))
    ]
