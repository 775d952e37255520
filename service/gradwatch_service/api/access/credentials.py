"""Knows keys and sessions again for a few seconds, so that a request does not cost a query.

What is revoked opens nothing ``TTL_SECONDS`` later, in every process; what expires, at once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import NamedTuple, TypeAlias

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Connection

from gradwatch_service.api.access.principal import Principal, principal_of
from gradwatch_service.api.backend import Backend
from gradwatch_service.errors import Unauthorized
from gradwatch_service.store import keys, sessions
from gradwatch_service.store.key_text import key_id_of
from gradwatch_service.store.keys import Key

TTL_SECONDS = 4.0
MOST_KNOWN = 10_000
LOOKUPS_AT_ONCE = 4  # a thread each, beside those of the routes, which may all be waiting


class Known(NamedTuple):
    """Whom a key or a session stands for, until this time of the event loop."""

    principal: Principal
    key_id: str
    until: float


class _Found(NamedTuple):
    """What the database says: a key in force until ``ends_at``."""

    key: Key
    ends_at: dt.datetime | None
    session: bytes | None = None


# Says whose a digest is, or raises Unauthorized.
Look: TypeAlias = Callable[[Connection, dt.datetime], _Found]


class Credentials:
    """One per process; belongs to the event loop."""

    def __init__(self) -> None:
        self._known: dict[bytes, Known] = {}
        self._asked: dict[bytes, asyncio.Task[Known]] = {}
        self._limiter = CapacityLimiter(LOOKUPS_AT_ONCE)

    async def of_key(self, text: bytes, backend: Backend) -> Known:
        """Whose key this is.

        Raises:
            Unauthorized: nobody's any more, or it never was one.
            Unavailable: the database does not answer.
        """
        digest = sha256(text).digest()
        known = self._fresh(digest)
        if known is not None:
            return known
        key_id = key_id_of(text.decode("latin-1"))
        if key_id is None:
            raise Unauthorized(
                "this is no key of Gradwatch: a letter is wrong or missing", code="bad-key"
            )
        return await self._learn(digest, partial(_look_for_key, key_id, digest), backend)

    async def of_session(self, token: bytes, backend: Backend) -> Known:
        """Whose session this is.

        Raises:
            Unauthorized: nobody's any more.
            Unavailable: the database does not answer.
        """
        digest = sha256(token).digest()
        known = self._fresh(digest)
        if known is not None:
            return known
        return await self._learn(digest, partial(_look_for_session, digest), backend)

    def forget(self, digest: bytes) -> None:
        """Look again the next time."""
        self._known.pop(digest, None)

    def _fresh(self, digest: bytes) -> Known | None:
        known = self._known.get(digest)
        if known is None or known.until < asyncio.get_running_loop().time():
            return None
        return known

    async def _learn(self, digest: bytes, look: Look, backend: Backend) -> Known:
        """Ask the database, once for all who wait for the same."""
        task = self._asked.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(digest, look, backend))
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        return await asyncio.shield(task)

    async def _ask(self, digest: bytes, look: Look, backend: Backend) -> Known:
        began, now = asyncio.get_running_loop().time(), backend.clock()
        self._known.pop(digest, None)
        found = await to_thread.run_sync(_read, look, now, backend, limiter=self._limiter)
        if found.key.needs_note(now):
            backend.writer.run(partial(keys.note_use, key_id=found.key.key_id, now=now))
        principal = principal_of(found.key, found.session)
        known = Known(principal, found.key.key_id, began + _seconds_good(found, now))
        self._known[digest] = known
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return known


def _read(look: Look, now: dt.datetime, backend: Backend) -> _Found:
    with backend.reading() as connection:
        return look(connection, now)


def _look_for_key(key_id: str, digest: bytes, connection: Connection, now: dt.datetime) -> _Found:
    return in_force(keys.find(connection, key_id, digest), now)


def in_force(key: Key | None, now: dt.datetime) -> _Found:
    """The key, if it opens anything.

    Raises:
        Unauthorized: it does not.
    """
    if key is None:
        raise Unauthorized("there is no such key", code="unknown-key")
    state = key.state(now)
    if state != "active":
        raise Unauthorized(f"this key is {state}: ask for another", code=f"{state}-key")
    return _Found(key, key.expires_at)


def _look_for_session(digest: bytes, connection: Connection, now: dt.datetime) -> _Found:
    session = sessions.find(connection, digest)
    if session is None or session.is_over(now):
        raise Unauthorized("this session is over: sign in again", code="session-over")
    ends = [session.expires_at, *filter(None, [session.key.expires_at])]
    return _Found(session.key, min(ends), digest)


def _seconds_good(found: _Found, now: dt.datetime) -> float:
    left = TTL_SECONDS if found.ends_at is None else (found.ends_at - now).total_seconds()
    return min(TTL_SECONDS, left)
