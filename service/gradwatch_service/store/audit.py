"""Who did what to what: administrative acts, written in the transaction of the act itself."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from gradwatch_service.domain import JsonValue
from gradwatch_service.store.codec import Mark, Page, rfc3339, uuid7
from gradwatch_service.store.paging import paged
from gradwatch_service.store.team_tables import audit

COMMAND_LINE = "command line"


def note(  # noqa: PLR0913 - the columns
    connection: Connection,
    project: str,
    actor: str,
    act: str,
    target: str,
    detail: Mapping[str, JsonValue],
    *,
    now: dt.datetime,
) -> None:
    """Write an act down: ``act`` is a word such as ``key-made``, ``target`` the id of its object.

    ``detail`` holds no secrets: everybody who administers the project may read it.
    """
    connection.execute(
        insert(audit).values(
            project=project,
            entry_id=uuid7(now),
            at=now,
            actor=actor,
            act=act,
            target=target,
            detail=detail,
        )
    )


def entries(
    connection: Connection, project: str, cursor: str | None = None, limit: int = 100
) -> Page:
    """One page of what was done in a project, the newest first."""
    query = select(audit).where(audit.c.project == project)
    rows = connection.execute(paged(query, audit.c.at, audit.c.entry_id, cursor, limit)).all()
    found = [
        (
            Mark(row.at, row.entry_id),
            {
                "id": str(row.entry_id),
                "at": rfc3339(row.at),
                "actor": row.actor,
                "act": row.act,
                "target": row.target,
                "detail": row.detail,
            },
        )
        for row in rows
    ]
    return Page.of(found, limit)
