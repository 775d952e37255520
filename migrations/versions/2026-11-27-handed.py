"""Advice that somebody hands to the job.

Revision: 0007_handed, of 2026-11-27 17:30:00+00:00.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_handed"
down_revision = "0006_team"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "handed_advice",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("advice_id", sa.Uuid(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "advice_id", name=op.f("pk_handed_advice")),
    )


def downgrade() -> None:
    op.drop_table("handed_advice")
