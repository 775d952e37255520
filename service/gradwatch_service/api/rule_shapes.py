"""Bodies and answers of the routes for rules, as OpenAPI shows them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from gradwatch_service.api.bodies import WHOLE, Body, Id, Name, Step
from gradwatch_service.api.rule_settings import schema
from gradwatch_service.api.shapes import Shape
from gradwatch_service.domain import MAX_STEP

MAX_RUNS = 500

Sent = Annotated[
    dict[str, dict[str, Any]],
    WithJsonSchema(
        {**schema(), "description": "rule → setting → value; only what differs from the defaults"}
    ),
]


class RulesBody(Body):
    """``PUT …/rules``: takes the place of all that was set before."""

    settings: Sent
    by: Name = "somebody"


class BacktestBody(Body):
    """``POST …/rules/backtest``: which settings to try, and on what."""

    settings: Sent
    runs: (
        Annotated[int, Field(ge=1, le=MAX_RUNS), WHOLE]
        | Annotated[list[Id], Field(min_length=1, max_length=MAX_RUNS)]
    ) = 20
    first: Annotated[Step, WHOLE, Field(alias="from")] = 0
    last: Annotated[Step, WHOLE, Field(alias="to")] = MAX_STEP


class ThresholdShape(Shape):
    """A number of a rule that may be set."""

    name: str
    value: float
    default: float
    low: float
    high: float
    unit: str
    whole: bool
    meaning: str


class RuleShape(Shape):
    """A rule as it is set: whether it judges, whether it may page a person, and its thresholds."""

    id: str
    sees: str
    enabled: bool
    notify: bool
    changed: bool
    thresholds: list[ThresholdShape]


class RulesShape(Shape):
    """All rules of a project; ``settings`` is what differs from the defaults."""

    project: str
    updated_at: dt.datetime | None
    updated_by: str | None
    settings: dict[str, dict[str, float | bool]]
    rules: list[RuleShape]


class TriedAlert(Shape):
    """An alert that fired, or would have; how often."""

    cause: str
    rule: str
    severity: Literal["info", "warning", "error", "critical"]
    actionable: bool
    opened_step: int
    resolved_step: int | None
    fired: int
    title: str


class TriedRun(Shape):
    """A run judged by the present settings and by those proposed."""

    run_id: uuid.UUID
    name: str
    steps: int
    changed: bool
    present: list[TriedAlert]
    proposed: list[TriedAlert]


class Tally(Shape):
    """What it would mean to people."""

    pages: int
    warnings: int
    information: int
    runs_alerted: int
    pages_per_10k_steps: float
    warnings_per_10k_steps: float


class Totals(Shape):
    """Over all runs that were judged."""

    runs: int
    changed: int
    steps: int
    reports: int
    present: Tally
    proposed: Tally


class LeftOut(Shape):
    """A run that was not judged, and why."""

    run_id: uuid.UUID
    name: str
    why: str


class BacktestShape(Shape):
    """What these settings would have alerted on stored runs, beside the present ones."""

    project: str
    totals: Totals
    runs: list[TriedRun]
    left_out: list[LeftOut]
