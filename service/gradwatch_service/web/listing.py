"""The runs of the board: a page of rows under the filters of the address."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import Connection

from gradwatch_service.api.bodies import Name
from gradwatch_service.domain import Health
from gradwatch_service.store import board
from gradwatch_service.store.board import Entry, Wanted
from gradwatch_service.store.runs import RunState

PAGE_ROWS = 1_000
WALL_ROWS = 30
RUNS_AT_ONCE = 100


def _or_none(value: Any) -> Any:
    """What a form leaves empty was not asked for."""
    return value or None


Choice = BeforeValidator(_or_none)
SearchText = Annotated[str, Field(max_length=200)]


class BoardParameters(BaseModel):
    """What the address of the board says; what it does not know it leaves alone."""

    model_config = ConfigDict(frozen=True)

    project: Annotated[Name | None, Choice] = None
    tag: Annotated[Name | None, Choice] = None
    health: Annotated[Health | None, Choice] = None
    state: Annotated[RunState | None, Choice] = None
    q: Annotated[SearchText | None, Choice] = None
    page: Annotated[int, Field(ge=1, le=100_000)] = 1
    wall: bool = False
    run: Annotated[list[uuid.UUID], Field(max_length=RUNS_AT_ONCE)] = []

    @property
    def filters(self) -> dict[str, str]:
        """Those that are set, as in the address."""
        given = self.model_dump(include={"project", "tag", "health", "state", "q"})
        return {name: str(value) for name, value in given.items() if value is not None}

    def address(self, page: int) -> str:
        """Where this board shows another page."""
        query = self.filters | ({"page": str(page)} if page > 1 else {})
        return f"/?{urlencode(query)}" if query else "/"


BoardQuery = Annotated[BoardParameters, Query()]


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of rows; ``matching`` runs in all; the addresses of the pages beside it."""

    rows: Sequence[Entry]
    matching: int
    total: int
    earlier: str | None
    later: str | None


def listing(connection: Connection, asked: BoardParameters, project: str | None) -> Listing:
    """Read the rows; ``project``: the one that may be seen, None: all."""
    wanted = _wanted(asked, project)
    size = WALL_ROWS if asked.wall else PAGE_ROWS
    skip = 0 if asked.wall else (asked.page - 1) * size
    rows = board.entries(connection, wanted, skip=skip, limit=size + 1)
    more = len(rows) > size
    matching = board.count(connection, wanted) if more or skip else len(rows)
    total = board.count(connection, Wanted(project)) if asked.filters else matching
    return Listing(
        rows=rows[:size],
        matching=matching,
        total=total,
        earlier=asked.address(asked.page - 1) if skip else None,
        later=asked.address(asked.page + 1) if more else None,
    )


def some_rows(
    connection: Connection, asked: BoardParameters, project: str | None
) -> Sequence[Entry]:
    """Those of the runs asked for that the filters show."""
    return board.entries(connection, _wanted(asked, project, asked.run))


def _wanted(
    asked: BoardParameters, project: str | None, runs: Sequence[uuid.UUID] | None = None
) -> Wanted:
    return Wanted(project, asked.tag, asked.health, asked.state, asked.q, runs)
