"""A silence somebody is about to make, as a form asks what it would cover."""

from __future__ import annotations

from itertools import zip_longest
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from gradwatch_service.api.bodies import Name
from gradwatch_service.notify.pattern import PatternError, compiled
from gradwatch_service.notify.silencing import NAMES, Operator
from gradwatch_service.store.silences import Matcher

MOST = 20
OPERATORS: dict[Operator, str] = {
    "=": "is",
    "!=": "is not",
    "=~": "matches",
    "!~": "does not match",
}


class PreviewQuery(BaseModel):
    """Matchers side by side: the first name with the first operator and value, and so on."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    project: Name | None = None
    name: Annotated[tuple[str, ...], Field(max_length=MOST)] = ()
    op: Annotated[tuple[str, ...], Field(max_length=MOST)] = ()
    value: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=MOST)] = ()

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """The matchers that say something."""
        rows = zip_longest(self.name, self.op, self.value, fillvalue="")
        return tuple(
            Matcher(name, op, value)
            for name, op, value in rows
            if name in NAMES and op in OPERATORS and value
        )

    @property
    def problem(self) -> str | None:
        """Why it cannot be made as it is; None if it can."""
        expressions = [one.value for one in self.matchers if one.op.endswith("~")]
        return next(filter(None, map(_problem, expressions)), None)


def _problem(expression: str) -> str | None:
    try:
        compiled(expression)
    except PatternError as error:
        return f"{expression}: {error}"
    return None


PreviewAsked = Annotated[PreviewQuery, Query()]
