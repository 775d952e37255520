"""Query parameters as types that refuse what a route does not know, and the form of a page."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from gradwatch_service.api.answers import answer
from gradwatch_service.api.bodies import Name
from gradwatch_service.domain import MAX_STEP, AlertState, Health, Severity
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.codec import Page
from gradwatch_service.store.heatmap import HeatQuery
from gradwatch_service.store.runs import Filters, RunState
from gradwatch_service.store.series import SeriesQuery

MAX_LIMIT = 500
MAX_POINTS = 10_000
MAX_CELLS = 1_000
ANY_OF = "any of these; may be given several times"

SeverityName = Literal["info", "warning", "error", "critical"]
MAX_SPARKLINES = 50
MAX_SPARKLINE_POINTS = 200


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListParameters(_Parameters):
    """What every list understands."""

    cursor: Annotated[str | None, Field(max_length=200, description="next_cursor of a page")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 50


class RunParameters(ListParameters):
    """Which runs to list."""

    project: Name | None = None
    health: Health | None = None
    state: RunState | None = None

    @property
    def filters(self) -> Filters:
        """The same as the store knows it."""
        return Filters(self.project, self.health, self.state)


class AlertParameters(ListParameters):
    """Which alerts to list."""

    project: Name | None = None
    run: uuid.UUID | None = None
    state: Annotated[tuple[AlertState, ...], Field(max_length=4, description=ANY_OF)] = ()
    severity: Annotated[tuple[SeverityName, ...], Field(max_length=4, description=ANY_OF)] = ()
    rule: Name | None = None
    cause: Name | None = None
    actionable: Annotated[bool | None, Field(description="whether a person must act")] = None
    title: Annotated[Name | None, Field(description="a part of the title, in any case")] = None

    @property
    def filters(self) -> AlertFilters:
        """The same as the store knows it."""
        return AlertFilters(
            project=self.project,
            run_id=self.run,
            states=self.state,
            severities=tuple(Severity[one.upper()] for one in self.severity),
            rule=self.rule,
            cause=self.cause,
            actionable=self.actionable,
            title=self.title,
        )


class SeriesParameters(_Parameters):
    """Which series to read, and how finely."""

    metric: Name
    layer: Name | None = None
    first: Annotated[int, Field(alias="from", ge=0, le=MAX_STEP)] = 0
    last: Annotated[int, Field(alias="to", ge=0, le=MAX_STEP)] = MAX_STEP
    points: Annotated[int, Field(ge=2, le=MAX_POINTS)] = 1_000

    @property
    def query(self) -> SeriesQuery:
        """The same as the store knows it."""
        return SeriesQuery(self.metric, self.layer, self.first, self.last, self.points)


class HeatmapParameters(_Parameters):
    """Which statistic to read over layers and steps, and in how many cells."""

    metric: Name
    first: Annotated[int, Field(alias="from", ge=0, le=MAX_STEP)] = 0
    last: Annotated[int, Field(alias="to", ge=0, le=MAX_STEP)] = MAX_STEP
    rows: Annotated[int, Field(ge=1, le=MAX_CELLS)] = 500
    cols: Annotated[int, Field(ge=1, le=MAX_CELLS)] = 500

    @property
    def query(self) -> HeatQuery:
        """The same as the store knows it."""
        return HeatQuery(self.metric, self.first, self.last, self.rows, self.cols)


class ProfileParameters(_Parameters):
    """Along what to read the signal, and when; the newest step if it is not said."""

    axis: Literal["depth", "time"] = "depth"
    step: Annotated[int | None, Field(ge=0, le=MAX_STEP)] = None


class LiveParameters(_Parameters):
    """Whose changes to be told, and since when."""

    project: Name | None = None
    run: uuid.UUID | None = None
    since: Annotated[
        str | None,
        Field(pattern="^[0-9]{1,15}$", description="an id to go on after, as Last-Event-ID"),
    ] = None


class SparklineParameters(_Parameters):
    """Whose sparklines to read, and how finely."""

    run: Annotated[list[uuid.UUID], Field(min_length=1, max_length=MAX_SPARKLINES)]
    points: Annotated[int, Field(ge=2, le=MAX_SPARKLINE_POINTS)] = 60


PlainList = Annotated[ListParameters, Query()]
RunList = Annotated[RunParameters, Query()]
AlertList = Annotated[AlertParameters, Query()]
OneSeries = Annotated[SeriesParameters, Query()]
OneHeatmap = Annotated[HeatmapParameters, Query()]
OneProfile = Annotated[ProfileParameters, Query()]
LiveEvents = Annotated[LiveParameters, Query()]
Sparklines = Annotated[SparklineParameters, Query()]


def page(found: Page) -> Response:
    """Answer one page of a list."""
    return answer({"items": found.items, "next_cursor": found.next_cursor})
