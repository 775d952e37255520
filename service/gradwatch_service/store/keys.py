"""Keys: who may do what in which project, made, rotated, revoked; secrets are kept as SHA-256."""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from sqlalchemy import Connection, RowMapping, Select, insert, or_, select, update

from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import audit, projects
from gradwatch_service.store.codec import Json, rfc3339
from gradwatch_service.store.key_text import NewKey, digest_of, new_key
from gradwatch_service.store.team_tables import keys

USE_NOTED_EVERY = dt.timedelta(minutes=1)

KeyState = Literal["active", "expired", "revoked"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as everybody may see it who administers its project."""

    key_id: str
    project: str
    name: str
    scopes: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None

    def state(self, now: dt.datetime) -> KeyState:
        """Whether it still opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def needs_note(self, now: dt.datetime) -> bool:
        """Whether it is time to note that it is used."""
        return self.last_used_at is None or self.last_used_at <= now - USE_NOTED_EVERY

    def as_json(self, now: dt.datetime) -> Json:
        """The key as the API shows it."""
        return {
            "key_id": self.key_id,
            "project": self.project,
            "name": self.name,
            "scopes": list(self.scopes),
            "state": self.state(now),
            "created_at": rfc3339(self.created_at),
            "expires_at": _text(self.expires_at),
            "revoked_at": _text(self.revoked_at),
            "last_used_at": _text(self.last_used_at),
        }


class KeyRequest(NamedTuple):
    """What a new key shall be good for."""

    project: str
    name: str
    scopes: Sequence[str]
    expires_at: dt.datetime | None


class Issued(NamedTuple):
    """A new key, and its text for the one time that it is shown."""

    key: Key
    text: str


class Admin(NamedTuple):
    """Who changes keys, and when; ``project`` None: whoever has the command line, in all."""

    actor: str
    project: str | None
    now: dt.datetime


def create(connection: Connection, request: KeyRequest, admin: Admin) -> Issued:
    """Make a key, and its project where it is new."""
    projects.register(connection, request.project, admin.now)
    issued = _issue(connection, request, admin.now)
    _note(connection, admin, "key-made", issued.key)
    return issued


def rotate(connection: Connection, key_id: str, grace: dt.timedelta, admin: Admin) -> Issued:
    """Make a key like this one; the old one is still good for the grace period, at most.

    Raises:
        NotFound: there is no such key.
        Conflict: it opens nothing any more.
    """
    old, now = _get(connection, key_id, admin.project), admin.now
    if old.state(now) != "active":
        raise Conflict(f"key {key_id} is {old.state(now)}: make a new one")
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    request = KeyRequest(
        old.project, old.name, old.scopes, None if lifetime is None else now + lifetime
    )
    issued = _issue(connection, request, now)
    until = now + grace
    if old.expires_at is None or until < old.expires_at:
        connection.execute(update(keys).where(keys.c.key_id == key_id).values(expires_at=until))
    _note(connection, admin, "key-rotated", old, to=issued.key.key_id)
    return issued


def revoke(connection: Connection, key_id: str, admin: Admin) -> Key:
    """End a key at once; saying it twice keeps the first time.

    Raises:
        NotFound: there is no such key.
    """
    key = _get(connection, key_id, admin.project)
    if key.revoked_at is None:
        statement = update(keys).where(keys.c.key_id == key_id).values(revoked_at=admin.now)
        connection.execute(statement)
        _note(connection, admin, "key-revoked", key)
    return key


def of_project(connection: Connection, project: str | None) -> tuple[Key, ...]:
    """The keys of a project, the newest first; None: of all."""
    query = select(keys).order_by(keys.c.created_at.desc(), keys.c.key_id)
    if project is not None:
        query = query.where(keys.c.project == project)
    return tuple(as_key(row) for row in connection.execute(query).mappings())


def find(connection: Connection, key_id: str, digest: bytes) -> Key | None:
    """The key with this secret, whatever its state."""
    row = connection.execute(select(keys).where(keys.c.key_id == key_id)).mappings().first()
    if row is None or not hmac.compare_digest(bytes(row["digest"]), digest):
        return None
    return as_key(row)


def are_any(connection: Connection, now: dt.datetime) -> bool:
    """Whether any key opens anything."""
    unexpired = or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)
    query = select(keys.c.key_id).where(keys.c.revoked_at.is_(None), unexpired).limit(1)
    return connection.execute(query).first() is not None


def note_use(connection: Connection, key_id: str, now: dt.datetime) -> None:
    """Note that a key is used, unless that was noted a moment ago."""
    due = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= now - USE_NOTED_EVERY)
    connection.execute(update(keys).where(keys.c.key_id == key_id, due).values(last_used_at=now))


def as_key(row: RowMapping) -> Key:
    """A row of ``keys`` without its digest."""
    return Key(
        key_id=row["key_id"],
        project=row["project"],
        name=row["name"],
        scopes=tuple(cast("list[str]", row["scopes"])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


def _get(connection: Connection, key_id: str, project: str | None) -> Key:
    query: Select[tuple[object, ...]] = select(keys).where(keys.c.key_id == key_id)
    if project is not None:
        query = query.where(keys.c.project == project)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFound("no such key")
    return as_key(row)


def _issue(connection: Connection, request: KeyRequest, now: dt.datetime) -> Issued:
    made: NewKey = new_key()
    scopes = tuple(sorted(set(request.scopes)))
    key = Key(
        made.key_id, request.project, request.name, scopes, now, request.expires_at, None, None
    )
    connection.execute(
        insert(keys).values(
            key_id=key.key_id,
            project=key.project,
            name=key.name,
            scopes=list(scopes),
            digest=digest_of(made.text),
            created_at=now,
            expires_at=key.expires_at,
        )
    )
    return Issued(key, made.text)


def _note(connection: Connection, admin: Admin, act: str, key: Key, **more: str) -> None:
    detail: Json = {"name": key.name, "scopes": list(key.scopes), **more}
    audit.note(connection, key.project, admin.actor, act, key.key_id, detail, now=admin.now)


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
