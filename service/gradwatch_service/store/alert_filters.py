"""Which alerts somebody asks for, as conditions of a query."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from gradwatch_service.domain import AlertState, Severity
from gradwatch_service.store.tables import alerts


@dataclass(frozen=True, slots=True)
class AlertFilters:
    """Which alerts a list shows; None, or none of several, means all.

    ``ids``: only these, which may be none. ``title``: a part of it.
    """

    project: str | None = None
    run_id: uuid.UUID | None = None
    states: tuple[AlertState, ...] = ()
    severities: tuple[Severity, ...] = ()
    rule: str | None = None
    cause: str | None = None
    actionable: bool | None = None
    title: str | None = None
    ids: tuple[uuid.UUID, ...] | None = None

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """All must hold."""
        c = alerts.c
        equal: tuple[tuple[Column[Any], object], ...] = (
            (c.project, self.project),
            (c.run_id, self.run_id),
            (c.rule, self.rule),
            (c.cause, self.cause),
            (c.actionable, self.actionable),
        )
        found = [column == wanted for column, wanted in equal if wanted is not None]
        if self.states:
            found.append(c.state.in_(self.states))
        if self.severities:
            found.append(c.severity.in_([int(one) for one in self.severities]))
        if self.ids is not None:
            found.append(c.alert_id.in_(self.ids))
        if self.title:
            found.append(title_in(c.body).icontains(self.title, autoescape=True))
        return found


class title_in(FunctionElement[str]):  # noqa: N801 - reads like the functions of a database
    """The title in the body of an alert."""

    type = String()
    inherit_cache = True


@compiles(title_in, "sqlite")
def _in_sqlite(element: title_in, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **options)}, '$.title')"


@compiles(title_in, "postgresql")
def _in_postgresql(element: title_in, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **options)} AS JSON) ->> 'title')"
