"""How long a run has been silent at most, and the open alerts of a rule.

Revision: 0002_silence, of 2026-11-23 18:20:00+00:00.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_silence"
down_revision = "0001_spine"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "runs",
        sa.Column("longest_pause_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_index(op.f("ix_alerts_state_rule"), "alerts", ["state", "rule"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_alerts_state_rule"), table_name="alerts")
    op.drop_column("runs", "longest_pause_ms")
