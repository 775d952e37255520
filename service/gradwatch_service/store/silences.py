"""Silences: alerts of which, for some time, nobody wants to be told."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from gradwatch_service.errors import NotFound
from gradwatch_service.store.codec import Json, Mark, Page, rfc3339
from gradwatch_service.store.paging import paged
from gradwatch_service.store.team_tables import silences

SilenceState: TypeAlias = Literal["pending", "active", "expired"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A label and what it shall be, or not be (``notify.silencing``)."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


@dataclass(frozen=True, slots=True)
class Silence:
    """From ``starts_at`` on, and before ``ends_at``, it covers the alerts its matchers describe."""

    id: uuid.UUID
    project: str
    matchers: tuple[Matcher, ...]
    comment: str
    created_by: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    created_at: dt.datetime

    def state(self, now: dt.datetime) -> SilenceState:
        """Whether it is to come, holds, or is over."""
        if now >= self.ends_at:
            return "expired"
        return "active" if now >= self.starts_at else "pending"

    def as_json(self, now: dt.datetime) -> Json:
        """The silence as in ``GET /silences``."""
        return {
            "id": str(self.id),
            "project": self.project,
            "state": self.state(now),
            "matchers": [asdict(one) for one in self.matchers],
            "comment": self.comment,
            "created_by": self.created_by,
            "starts_at": rfc3339(self.starts_at),
            "ends_at": rfc3339(self.ends_at),
            "created_at": rfc3339(self.created_at),
        }


def add(connection: Connection, silence: Silence) -> None:
    """Insert a silence."""
    connection.execute(
        insert(silences).values(
            project=silence.project,
            silence_id=silence.id,
            matchers=[asdict(one) for one in silence.matchers],
            comment=silence.comment,
            created_by=silence.created_by,
            starts_at=silence.starts_at,
            ends_at=silence.ends_at,
            created_at=silence.created_at,
        )
    )


def get(connection: Connection, identity: uuid.UUID) -> Silence:
    """One silence.

    Raises:
        NotFound: there is none.
    """
    found = connection.execute(select(silences).where(silences.c.silence_id == identity)).first()
    if found is None:
        raise NotFound(f"no silence {identity}")
    return _silence(found)


def expire(connection: Connection, identity: uuid.UUID, now: dt.datetime) -> None:
    """End a silence now; one that is over stays as it was.

    Raises:
        NotFound: there is none.
    """
    known = get(connection, identity)
    connection.execute(
        update(silences)
        .where(
            silences.c.project == known.project,
            silences.c.silence_id == identity,
            silences.c.ends_at > now,
        )
        .values(ends_at=now, starts_at=min(known.starts_at, now))
    )


def active(
    connection: Connection, now: dt.datetime, project: str | None = None
) -> tuple[Silence, ...]:
    """What holds now, in one project or in all."""
    query = select(silences).where(_is("active", now))
    if project is not None:
        query = query.where(silences.c.project == project)
    return tuple(_silence(row) for row in connection.execute(query.order_by(silences.c.silence_id)))


def of_project(connection: Connection, project: str) -> tuple[Silence, ...]:
    """All there ever were in a project."""
    query = select(silences).where(silences.c.project == project)
    return tuple(_silence(row) for row in connection.execute(query.order_by(silences.c.silence_id)))


def list_silences(
    connection: Connection,
    now: dt.datetime,
    *,
    project: str | None = None,
    state: SilenceState | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page:
    """One page of silences, the newest first."""
    query = select(silences)
    if project is not None:
        query = query.where(silences.c.project == project)
    if state is not None:
        query = query.where(_is(state, now))
    query = paged(query, silences.c.created_at, silences.c.silence_id, cursor, limit)
    rows = [_silence(row) for row in connection.execute(query)]
    return Page.of([(Mark(one.created_at, one.id), one.as_json(now)) for one in rows], limit)


def _is(state: SilenceState, now: dt.datetime) -> ColumnElement[bool]:
    if state == "expired":
        return silences.c.ends_at <= now
    begun = silences.c.starts_at <= now
    return and_(begun if state == "active" else ~begun, silences.c.ends_at > now)


def _silence(row: Row[Any]) -> Silence:
    return Silence(
        id=row.silence_id,
        project=row.project,
        matchers=tuple(Matcher(**one) for one in cast(Sequence[dict[str, Any]], row.matchers)),
        comment=row.comment,
        created_by=row.created_by,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        created_at=row.created_at,
    )
