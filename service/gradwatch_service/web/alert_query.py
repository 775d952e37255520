"""What the address of the alerts page asks for; forms send empty fields, which ask for nothing."""

from __future__ import annotations

import uuid
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gradwatch_service.api.bodies import Name
from gradwatch_service.domain import AlertState, Severity
from gradwatch_service.store.alert_filters import AlertFilters

Tab: TypeAlias = Literal["open", "pending", "firing", "acknowledged", "resolved", "all"]

OPEN: Final[tuple[AlertState, ...]] = ("pending", "firing", "acknowledged")
TABS: Final[dict[Tab, tuple[AlertState, ...]]] = {
    "open": OPEN,
    "firing": ("firing",),
    "acknowledged": ("acknowledged",),
    "pending": ("pending",),
    "resolved": ("resolved",),
    "all": (*OPEN, "resolved"),
}
MOST_IDS = 100

_blank = BeforeValidator(lambda value: value or None)


class AlertQuery(BaseModel):
    """Filters, the way to group, and the page; ``least``: this severity and graver ones."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    state: Tab = "open"
    least: Annotated[Literal["info", "warning", "error", "critical"] | None, _blank] = None
    rule: Annotated[Name | None, _blank] = None
    cause: Annotated[Name | None, _blank] = None
    project: Annotated[Name | None, _blank] = None
    run: Annotated[uuid.UUID | None, _blank] = None
    title: Annotated[Name | None, _blank] = None
    actionable: Annotated[Literal["1"] | None, _blank] = None
    group: Annotated[Literal["run", "cause"] | None, _blank] = None
    cursor: Annotated[str | None, Field(max_length=200)] = None

    def filters(self, project: str | None) -> AlertFilters:
        """The same as the store knows it, within what may be seen."""
        least = Severity[(self.least or "info").upper()]
        return AlertFilters(
            project=project,
            run_id=self.run,
            states=TABS[self.state],
            severities=tuple(one for one in Severity if one >= least) if self.least else (),
            rule=self.rule,
            cause=self.cause,
            actionable=True if self.actionable else None,
            title=self.title,
        )

    @property
    def narrows(self) -> int:
        """How many filters are set beside the state."""
        set_ = self.model_dump(exclude={"state", "group", "cursor", "id"}, exclude_none=True)
        return len(set_)

    def address(self, **changes: str | None) -> str:
        """The address of the same list, changed; another filter begins at the first page."""
        kept = self.model_dump(mode="json", exclude={"cursor", "id"}) | changes
        asked = {name: value for name, value in kept.items() if value}
        if asked.get("state") == "open":
            del asked["state"]
        return f"/alerts?{urlencode(asked)}" if asked else "/alerts"


class RowsQuery(AlertQuery):
    """The same list, of which only some alerts are asked for."""

    id: Annotated[tuple[uuid.UUID, ...], Field(max_length=MOST_IDS)] = ()


ListAsked = Annotated[AlertQuery, Query()]
RowsAsked = Annotated[RowsQuery, Query()]
