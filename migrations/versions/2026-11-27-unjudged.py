"""Reports that are stored but not judged yet: a stream counts both.

Revision: 0003_unjudged, of 2026-11-27 07:40:00+00:00.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_unjudged"
down_revision = "0002_silence"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "writers", sa.Column("reports", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.execute(sa.text("UPDATE writers SET reports = ordinal"))


def downgrade() -> None:
    op.drop_column("writers", "reports")
