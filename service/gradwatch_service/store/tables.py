"""The schema of runs, one for SQLite and PostgreSQL; the whole is in ``schema``.

Every table of runs has ``run_id`` first in its primary key and no row refers to another run's, so
that they can be distributed by ``run_id``. No sequences, no triggers. Floats that may be NaN live
in packed bytes or JSON text, never in plain columns.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    Uuid,
)

from gradwatch_service.store.types import JsonText, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def run_id() -> Column[object]:
    """The first column of every table of runs."""
    return Column("run_id", Uuid, primary_key=True)


# ``version`` grows with every change that judgement depends on (an attempt, a layer table, an
# alert part): whoever computed something from an older version must look again.
# ``pushes``, ``active_since`` and ``longest_pause_ms`` (between two signs of life) count within the
# newest attempt.
runs = Table(
    "runs",
    metadata,
    run_id(),
    Column("project", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("health", String(16), nullable=False),
    Column("open_alerts", Integer, nullable=False),
    Column("degraded", Text),
    Column("attempt", Integer, nullable=False),
    Column("layers_hash", String(64), nullable=False),
    Column("layers_count", Integer, nullable=False),
    Column("config", JsonText, nullable=False),
    Column("tags", JsonText, nullable=False),
    Column("last_step", BigInteger),
    Column("pushes", BigInteger, nullable=False),
    Column("active_since", UtcDateTime, nullable=False),
    Column("longest_pause_ms", BigInteger, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("finish_reason", Text),
    Column("version", BigInteger, nullable=False),
    Index(None, "started_at", "run_id"),
    Index(None, "project", "started_at"),
    Index(None, "state"),
)

# ``rules``: what the project had set of the rules then; it is judged by that to its end.
attempts = Table(
    "attempts",
    metadata,
    run_id(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("launch_id", Text),
    Column("resume_step", BigInteger),
    Column("config", JsonText, nullable=False),
    Column("rules", JsonText, nullable=False, server_default="{}"),
    Column("started_at", UtcDateTime, nullable=False),
)

layer_tables = Table(
    "layer_tables",
    metadata,
    run_id(),
    Column("hash", String(64), primary_key=True),
    Column("layers", JsonText, nullable=False),
)

# One row per process and rank that reports: how far its stream is stored and judged, and its guard.
# ``reports``: those that have their place in the fold; the first ``ordinal`` of them are judged.
writers = Table(
    "writers",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("next_seq", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("reports", BigInteger, nullable=False, server_default="0"),
    Column("transitions", BigInteger, nullable=False),
    Column("first_step", BigInteger),
    Column("last_step", BigInteger),
    Column("layers_hash", String(64), nullable=False),
    Column("guard", JsonText, nullable=False),
)

# The log that is the truth. ``ordinal`` is the position of the frame's first report in the fold:
# NULL while the frame waits behind a gap, and for good if it came too late or judging it failed.
# ``body`` is empty once the frame lies in tiles (``row_groups``, ``chunks``).
frames = Table(
    "frames",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt", Integer, nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("layers_hash", String(64), nullable=False),
    Column("step_min", BigInteger),
    Column("step_max", BigInteger),
    Column("reports", Integer, nullable=False),
    Column("ordinal", BigInteger),
    Column("received_at", UtcDateTime, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

# How far a writer's frames lie in tiles: all below ``next_seq``, the first ``ordinal`` reports;
# ``gaps``: how many seqs below were not there; ``kept_seq``: those below are no longer kept as they
# came. Above ``row_groups`` and ``chunks``, since who deletes a run goes in this order.
tilings = Table(
    "tilings",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("next_seq", BigInteger, nullable=False),
    Column("ordinal", BigInteger, nullable=False),
    Column("gaps", BigInteger, nullable=False),
    Column("kept_seq", BigInteger, nullable=False),
)

# Rows that lie in tiles: of level 0 reports as they came, above buckets of rows of the level below.
# ``steps``: packed, the first of each bucket; ``outline``: ``store.row_groups.Outline``.
row_groups = Table(
    "row_groups",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("seq_last", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("layers_hash", String(64), nullable=False),
    Column("step_min", BigInteger),
    Column("step_max", BigInteger),
    Column("rows", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("steps", LargeBinary, nullable=False),
    Column("time", LargeBinary, nullable=False),
    Column("outline", LargeBinary, nullable=False),
)

# The tiles themselves: ``kind`` 0 scalar, 1 per-layer statistic, 2 profile; ``tile`` counts 32
# columns each. All of one series lies side by side.
chunks = Table(
    "chunks",
    metadata,
    run_id(),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False),
    Column("metric", Text, primary_key=True),
    Column("tile", Integer, primary_key=True, autoincrement=False),
    Column("writer", Text, primary_key=True),
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

# What the fold knew after the first ``ordinal`` reports of a writer (``store.checkpoint``); the
# next one lies in frame ``seq`` or after it. It may be older than ``writers.ordinal``, or missing.
detector_states = Table(
    "detector_states",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("ordinal", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    run_id(),
    Column("key", Text, primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

# ``last_step`` moves on by itself while an alert goes on; that of the body may be behind it.
alerts = Table(
    "alerts",
    metadata,
    run_id(),
    Column("alert_id", Uuid, primary_key=True),
    Column("project", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("severity", SmallInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("actionable", Boolean, nullable=False),
    Column("last_step", BigInteger),
    Column("body", JsonText, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "alert_id"),
    Index(None, "opened_at", "alert_id"),
    Index(None, "project", "opened_at"),
    Index(None, "state", "rule"),
)

# What each writer contributes to an alert; the alert is their join. ``last_step`` as in ``alerts``.
alert_parts = Table(
    "alert_parts",
    metadata,
    run_id(),
    Column("cause", Text, primary_key=True),
    Column("writer", Text, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("last_step", BigInteger),
    Column("body", JsonText, nullable=False),
)

alert_events = Table(
    "alert_events",
    metadata,
    run_id(),
    Column("writer", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("alert_id", Uuid, nullable=False),
    Column("cause", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "run_id", "alert_id"),
)

# What the job itself said: checkpoint, phase, lr, resume, advice, guard, note.
events = Table(
    "events",
    metadata,
    run_id(),
    Column("event_id", Uuid, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("step", BigInteger),
    Column("body", JsonText, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index(None, "run_id", "received_at"),
)
