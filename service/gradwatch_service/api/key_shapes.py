"""Keys, projects, sessions and the audit log: their bodies, and what OpenAPI shows of them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import Field

from gradwatch_service.api.access.principal import Scope
from gradwatch_service.api.bodies import WHOLE, Body, Name
from gradwatch_service.api.shapes import Shape

MAX_DAYS = 3_650
MAX_GRACE_SECONDS = 30 * 86_400


class KeyBody(Body):
    """``POST /projects/{project}/keys``; ``expires_in_days`` null: it does not expire."""

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=3)]
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS), WHOLE] | None = 90


class RotationBody(Body):
    """``POST …/rotate``: for how long the old key is still good."""

    grace_seconds: Annotated[int, Field(ge=0, le=MAX_GRACE_SECONDS), WHOLE] = 86_400


class SessionBody(Body):
    """``POST /session``: sign in with a key."""

    key: Annotated[str, Field(max_length=200)]


class KeyShape(Shape):
    """A key; its text is never shown again."""

    key_id: str
    project: str
    name: str
    scopes: list[Scope]
    state: Literal["active", "expired", "revoked"]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


class IssuedKey(KeyShape):
    """A new key, with its text for the only time."""

    key: str


class Project(Shape):
    """A project and how many runs it has."""

    name: str
    runs: int
    newest_run_at: dt.datetime | None


class AuditEntry(Shape):
    """An administrative act."""

    id: uuid.UUID
    at: dt.datetime
    actor: str
    act: str
    target: str
    detail: dict[str, Any]


class SessionShape(Shape):
    """Who asks: ``project`` null in local mode, which sees all."""

    project: str | None
    scopes: list[Scope]
    actor: str


BODIES: tuple[type[Body], ...] = (KeyBody, RotationBody, SessionBody)
