"""Rules of a project: how they are set, and what other settings would have alerted."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import Connection
from starlette.responses import Response

from gradwatch_service.api.access.ownership import OwnProject
from gradwatch_service.api.access.policy import Owner, allows
from gradwatch_service.api.access.principal import ADMIN, READ, Who
from gradwatch_service.api.answers import answer
from gradwatch_service.api.backend import Served
from gradwatch_service.api.bodies import reader
from gradwatch_service.api.operations import answers, takes
from gradwatch_service.api.rule_settings import checked, shown
from gradwatch_service.api.rule_shapes import BacktestBody, BacktestShape, RulesBody, RulesShape
from gradwatch_service.detect.tuning import as_changes
from gradwatch_service.ingest.backtest import Trial
from gradwatch_service.store import audit, rules
from gradwatch_service.store.rules import RuleSettings

router = APIRouter(prefix="/projects/{project}/rules", tags=["rules"])


@router.get("", responses=answers({200: RulesShape}, 404))
@allows(READ, of=Owner.PATH)
def get_rules(project: OwnProject, backend: Served) -> Response:
    """Every rule of a project as it is set: whether it judges, whether it may page, thresholds."""
    with backend.reading() as connection:
        return answer(shown(project, rules.of_project(connection, project)))


@router.put(
    "",
    openapi_extra=takes(RulesBody),
    responses=answers({200: RulesShape}, 400, 404, 413, 415, 422),
)
@allows(ADMIN, of=Owner.PATH)
def put_rules(
    project: OwnProject,
    body: Annotated[RulesBody, Depends(reader(RulesBody))],
    backend: Served,
    who: Who,
) -> Response:
    """Set the rules of a project, for launches from now on: a run keeps what it began with."""
    now = backend.clock()
    settings = RuleSettings(checked(body.settings, "settings"), now, who.signed(body.by))

    def set_rules(connection: Connection) -> None:
        rules.replace(connection, project, settings)
        audit.note(connection, project, who.actor, "rules-set", project, {}, now=now)

    backend.write(set_rules)
    return answer(shown(project, settings))


@router.post(
    "/backtest",
    openapi_extra=takes(BacktestBody),
    responses=answers({200: BacktestShape}, 400, 404, 413, 415, 422),
)
@allows(READ, of=Owner.PATH)
def post_backtest(
    project: OwnProject,
    body: Annotated[BacktestBody, Depends(reader(BacktestBody))],
    backend: Served,
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
