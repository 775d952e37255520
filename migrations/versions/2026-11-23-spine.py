"""The first tables: runs, frames, writers, alerts, events.

Revision: 0001_spine, first, of 2026-11-23 14:51:15.199895+00:00.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_spine"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_events",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "writer", "number", name=op.f("pk_alert_events")),
    )
    op.create_index(
        op.f("ix_alert_events_run_id_alert_id"),
        "alert_events",
        ["run_id", "alert_id"],
        unique=False,
    )
    op.create_table(
        "alert_parts",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "cause", "writer", name=op.f("pk_alert_parts")),
    )
    op.create_table(
        "alerts",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actionable", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "alert_id", name=op.f("pk_alerts")),
    )
    op.create_index(op.f("ix_alerts_alert_id"), "alerts", ["alert_id"], unique=False)
    op.create_index(
        op.f("ix_alerts_opened_at_alert_id"), "alerts", ["opened_at", "alert_id"], unique=False
    )
    op.create_index(
        op.f("ix_alerts_project_opened_at"), "alerts", ["project", "opened_at"], unique=False
    )
    op.create_table(
        "attempts",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("launch_id", sa.Text(), nullable=True),
        sa.Column("resume_step", sa.BigInteger(), nullable=True),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "number", name=op.f("pk_attempts")),
    )
    op.create_table(
        "events",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "event_id", name=op.f("pk_events")),
    )
    op.create_index(
        op.f("ix_events_run_id_received_at"), "events", ["run_id", "received_at"], unique=False
    )
    op.create_table(
        "frames",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("layers_hash", sa.String(length=64), nullable=False),
        sa.Column("step_min", sa.BigInteger(), nullable=True),
        sa.Column("step_max", sa.BigInteger(), nullable=True),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "writer", "seq", name=op.f("pk_frames")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "layer_tables",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("layers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "hash", name=op.f("pk_layer_tables")),
    )
    op.create_table(
        "runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("health", sa.String(length=16), nullable=False),
        sa.Column("open_alerts", sa.Integer(), nullable=False),
        sa.Column("degraded", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("layers_hash", sa.String(length=64), nullable=False),
        sa.Column("layers_count", sa.Integer(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("pushes", sa.BigInteger(), nullable=False),
        sa.Column("active_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finish_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_runs")),
    )
    op.create_index(
        op.f("ix_runs_project_started_at"), "runs", ["project", "started_at"], unique=False
    )
    op.create_index(
        op.f("ix_runs_started_at_run_id"), "runs", ["started_at", "run_id"], unique=False
    )
    op.create_index(op.f("ix_runs_state"), "runs", ["state"], unique=False)
    op.create_table(
        "writers",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("transitions", sa.BigInteger(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=True),
        sa.Column("layers_hash", sa.String(length=64), nullable=False),
        sa.Column("guard", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "writer", name=op.f("pk_writers")),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Frames are incompressible: PostgreSQL's compression would only halve the ingest.
        op.execute("ALTER TABLE frames ALTER COLUMN body SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("writers")
    op.drop_index(op.f("ix_runs_state"), table_name="runs")
    op.drop_index(op.f("ix_runs_started_at_run_id"), table_name="runs")
    op.drop_index(op.f("ix_runs_project_started_at"), table_name="runs")
    op.drop_table("runs")
    op.drop_table("layer_tables")
    op.drop_table("idempotency_keys")
    op.drop_table("frames")
    op.drop_index(op.f("ix_events_run_id_received_at"), table_name="events")
    op.drop_table("events")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_alerts_project_opened_at"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_opened_at_alert_id"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_alert_id"), table_name="alerts")
    op.drop_table("alerts")
    op.drop_table("alert_parts")
    op.drop_index(op.f("ix_alert_events_run_id_alert_id"), table_name="alert_events")
    op.drop_table("alert_events")
