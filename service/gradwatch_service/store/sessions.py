"""Who is signed in to the dashboards: each session stands for a key, and ends with it."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select

from gradwatch_service.store import audit
from gradwatch_service.store.key_text import digest_of
from gradwatch_service.store.keys import Key, as_key
from gradwatch_service.store.team_tables import keys, sessions

LIFETIME = dt.timedelta(hours=12)
TOKEN_BYTES = 32


class Begun(NamedTuple):
    """A new session; ``token`` is what the browser keeps, we keep its SHA-256."""

    token: str
    expires_at: dt.datetime


class Session(NamedTuple):
    """A session and the key it stands for, whatever the state of either."""

    key: Key
    expires_at: dt.datetime

    def is_over(self, now: dt.datetime) -> bool:
        """Whether it opens nothing any more."""
        return self.expires_at <= now or self.key.state(now) != "active"


def begin(connection: Connection, key: Key, actor: str, now: dt.datetime) -> Begun:
    """Sign somebody in; those whose time is over are cleared away."""
    connection.execute(delete(sessions).where(sessions.c.expires_at <= now))
    token = secrets.token_urlsafe(TOKEN_BYTES)
    ends = [now + LIFETIME, *([key.expires_at] if key.expires_at is not None else [])]
    row = {"digest": digest_of(token), "key_id": key.key_id}
    connection.execute(insert(sessions).values(**row, created_at=now, expires_at=min(ends)))
    audit.note(connection, key.project, actor, "session-begun", key.key_id, {}, now=now)
    return Begun(token, min(ends))


def find(connection: Connection, digest: bytes) -> Session | None:
    """The session of a token."""
    query = (
        select(sessions.c.expires_at.label("session_expires_at"), keys)
        .join(keys, keys.c.key_id == sessions.c.key_id)
        .where(sessions.c.digest == digest)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else Session(as_key(row), row["session_expires_at"])


def end(connection: Connection, digest: bytes) -> None:
    """Sign out; nothing happens if that has happened."""
    connection.execute(delete(sessions).where(sessions.c.digest == digest))
