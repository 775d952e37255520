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
from gradwatch_service.notify.silencing import NAMES, labels_of, matches
from gradwatch_service.store import alerts, projects, run_names, silences
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Json
from gradwatch_service.store.silences import Matcher
from gradwatch_service.web.alert_list import Reader
from gradwatch_service.web.alert_query import OPEN
from gradwatch_service.web.pages.alerts import seen
from gradwatch_service.web.rendering import page
from gradwatch_service.web.silence_query import OPERATORS, PreviewAsked

router = APIRouter(include_in_schema=False)

PAST = 50


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
        **seen(who, now),
    )


@router.get("/alerts/silences/preview")
@allows(READ, of=Owner.LIST)
def get_preview(request: Request, backend: Served, asked: PreviewAsked, who: Who) -> Response:
    """Show which of the alerts that are open a silence would cover."""
    project, now = who.narrow(asked.project), backend.clock()
    rows: list[Json] = []
    with backend.reading() as connection:
        if asked.matchers and asked.problem is None:
            filters = AlertFilters(project, states=OPEN)
            found = alerts.list_alerts(connection, filters, None, MAX_LIMIT).items
            rows = list(Reader(connection, project, now).rows(found))
            known = run_names.of_runs(connection, [run_of(one) for one in rows])
            draft = _Draft(asked.project, asked.matchers)
            rows = [
                row
                for row in rows
                if run_of(row) in known
                and matches(draft, labels_of(row, known[run_of(row)]._asdict()))
            ]
    return page(request, "silence_preview.html", asked=asked, rows=rows, **seen(who, now))
