"""What a team shares: small tables that belong to projects, not to runs.

On Citus they are reference tables.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, LargeBinary, String, Table, Text, Uuid

from gradwatch_service.store.tables import metadata
from gradwatch_service.store.types import JsonText, UtcDateTime

projects = Table(
    "projects",
    metadata,
    Column("project", Text, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

# ``key_id`` is the part of a key that may be seen; of the secret there is only the SHA-256.
keys = Table(
    "keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", JsonText, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Index(None, "project"),
)

# Who is signed in to the dashboards: the cookie's SHA-256, and the key that it stands for.
sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_id", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
)

# Administrative acts: who did what to what.
audit = Table(
    "audit",
    metadata,
    Column("project", Text, primary_key=True),
    Column("entry_id", Uuid, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", JsonText, nullable=False),
    Index(None, "project", "at"),
)

# ``settings`` holds the address and its secrets: nobody is ever shown it whole.
channels = Table(
    "channels",
    metadata,
    Column("project", Text, primary_key=True),
    Column("channel_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("settings", JsonText, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", Text, nullable=False),
)

silences = Table(
    "silences",
    metadata,
    Column("project", Text, primary_key=True),
    Column("silence_id", Uuid, primary_key=True),
    Column("matchers", JsonText, nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("starts_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "ends_at"),
)

# What a project changed of the rules' own settings.
rules = Table(
    "rules",
    metadata,
    Column("project", Text, primary_key=True),
    Column("body", JsonText, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# The last sign of life of each worker.
heartbeats = Table(
    "heartbeats",
    metadata,
    Column("worker", Text, primary_key=True),
    Column("beat_at", UtcDateTime, nullable=False),
)
