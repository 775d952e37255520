"""What a project has set of the rules: only what is not the default."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from gradwatch_service.store.team_tables import rules
from gradwatch_service.store.upsert import upsert


class RuleSettings(NamedTuple):
    """Rule -> field -> value, and who set it when; None: nobody ever did."""

    body: Mapping[str, Mapping[str, Any]]
    updated_at: dt.datetime | None = None
    updated_by: str | None = None


def of_project(connection: Connection, project: str) -> RuleSettings:
    """What holds for the launches to come."""
    query = select(rules.c.body, rules.c.updated_at, rules.c.updated_by)
    row = connection.execute(query.where(rules.c.project == project)).first()
    return RuleSettings({}) if row is None else RuleSettings(*row)


def replace(connection: Connection, project: str, settings: RuleSettings) -> None:
    """Put this in place of all that was set before."""
    upsert(connection, rules, [{"project": project, **settings._asdict()}])
