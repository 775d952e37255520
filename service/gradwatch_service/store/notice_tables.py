"""From an alert to the people it concerns: what they did about it, and what they were told."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, SmallInteger, String, Table, Text, Uuid

from gradwatch_service.store.tables import metadata, run_id
from gradwatch_service.store.types import JsonText, UtcDateTime

# What people did about an alert: the newest, of the highest ``number``, counts. ``attempt`` and
# ``step`` are the alert's last when they did it, ``severity`` what it had.
alert_acts = Table(
    "alert_acts",
    metadata,
    run_id(),
    Column("alert_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

# Advice that somebody hands to the job: a wish that the next receipts of its launch (``attempt``)
# carry, until the job has answered it at ``step`` or later.
handed_advice = Table(
    "handed_advice",
    metadata,
    run_id(),
    Column("advice_id", Uuid, primary_key=True),
    Column("by", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
)

# Alerts of which something has changed since the channels were last considered. Written in the
# transaction of the change; ``version`` is the run's after it, and grows with every change, so that
# none is missed meanwhile; ``changed_at``: the first change that was not considered.
outbox = Table(
    "outbox",
    metadata,
    run_id(),
    Column("alert_id", Uuid, primary_key=True),
    Column("project", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Index(None, "changed_at"),
)

# What a channel knows of a run: ``told`` alert id -> the state it was last told, ``episode`` counts
# the times that all was well between; ``news_at``: since when there is something to tell it;
# ``due_at``: when to consider it again, NULL when all is well.
notices = Table(
    "notices",
    metadata,
    run_id(),
    Column("channel_id", Uuid, primary_key=True),
    Column("project", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("told", JsonText, nullable=False),
    Column("told_at", UtcDateTime),
    Column("news_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Index(None, "due_at"),
)

# Messages on their way to a channel. ``state``: pending, sent, superseded, dead. The id is stable:
# whoever gets it twice knows. ``digest_id``: under which id it goes out together with others.
deliveries = Table(
    "deliveries",
    metadata,
    run_id(),
    Column("delivery_id", Uuid, primary_key=True),
    Column("channel_id", Uuid, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("body", JsonText, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("attempted_at", UtcDateTime),
    Column("digest_id", Uuid),
    Column("settled_at", UtcDateTime),
    Index(None, "state", "due_at"),
    Index(None, "channel_id", "attempted_at"),
    Index(None, "project", "created_at"),
    Index(None, "delivery_id"),
)

# Whose turn it is to tell a channel something: one at a time.
turns = Table(
    "turns",
    metadata,
    Column("project", Text, primary_key=True),
    Column("channel_id", Uuid, primary_key=True),
    Column("lease_until", UtcDateTime, nullable=False),
)
