"""Rules of a project: how they are set, and what other settings would have alerted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import Name, reader
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.rule_settings import checked, shown
from gradwatch_service.api.rule_shapes import BacktestBody, BacktestShape, RulesBody, RulesShape
from gradwatch_service.detect.tuning import as_changes
from gradwatch_service.ingest.backtest import Trial
from gradwatch_service.store import rules
from gradwatch_service.store.rules import RuleSettings

router = APIRouter(prefix="/projects/{project}/rules", tags=["rules"])


@router.get("", responses=answers({200: RulesShape}, 404))
def get_rules(project: Name, backend: Served) -> Response:
    """Every rule of a project as it is set: whether it judges, whether it may page, thresholds."""
    with backend.reading() as connection:
        return answer(shown(project, rules.of_project(connection, project)))


@router.put(
    "",
    openapi_extra=takes(RulesBody),
    responses=answers({200: RulesShape}, 400, 404, 413, 415, 422),
)
def put_rules(
    project: Name, body: Annotated[RulesBody, Depends(reader(RulesBody))], backend: Served
) -> Response:
    """Set the rules of a project, for launches from now on: a run keeps what it began with."""
    settings = RuleSettings(checked(body.settings, "settings"), backend.clock(), body.by)
    backend.write(lambda connection: rules.replace(connection, project, settings))
    return answer(shown(project, settings))


@router.post(
    "/backtest",
    openapi_extra=takes(BacktestBody),
    responses=answers({200: BacktestShape}, 400, 404, 413, 415, 422),
)
def post_backtest(
    project: Name, body: Annotated[BacktestBody, Depends(reader(BacktestBody))], backend: Served
) -> Response:
    """Try settings on stored runs, beside those that hold now; changes nothing."""
    limits = backend.settings
    trial = Trial(
        project=project,
        changes=as_changes(checked(body.settings, "settings")),
        runs=body.runs if isinstance(body.runs, int) else tuple(body.runs),
        first=body.first,
        last=body.last,
        seconds=limits.backtest_seconds_max,
        reports=limits.backtest_reports_max,
    )
    return answer(backend.rehearsals.run(trial))
