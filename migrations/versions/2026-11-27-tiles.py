"""Tiles: reports of the log as columns, 32 layers of one statistic a row, and coarser levels.

Revision: 0004_tiles, of 2026-11-27 08:00:00+00:00.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_tiles"
down_revision = "0003_unjudged"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tilings",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.BigInteger(), nullable=False),
        sa.Column("kept_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "writer", name=op.f("pk_tilings")),
    )
    op.create_table(
        "row_groups",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq_last", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("layers_hash", sa.String(length=64), nullable=False),
        sa.Column("step_min", sa.BigInteger(), nullable=True),
        sa.Column("step_max", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("steps", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.LargeBinary(), nullable=False),
        sa.Column("outline", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "writer", "level", "seq", name=op.f("pk_row_groups")),
    )
    op.create_table(
        "chunks",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("tile", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "kind", "metric", "tile", "writer", "level", "seq", name=op.f("pk_chunks")
        ),
    )
    if op.get_bind().dialect.name == "postgresql":
        # They are compressed already.
        for table, columns in (("chunks", ["body"]), ("row_groups", ["steps", "time", "outline"])):
            for column in columns:
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT count(*) FROM tilings")).scalar():
        raise RuntimeError("reports lie in tiles only: going back would lose them")
    op.drop_table("chunks")
    op.drop_table("row_groups")
    op.drop_table("tilings")
