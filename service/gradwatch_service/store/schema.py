"""The whole schema: every module of tables, gathered."""

from __future__ import annotations

from sqlalchemy import Table

from gradwatch_service.store import notice_tables, tables, team_tables

MODULES = (tables, notice_tables, team_tables)
metadata = tables.metadata


def run_tables() -> list[Table]:
    """Every table that belongs to runs, those of ``tables`` first and in their order."""
    return [table for table in metadata.tables.values() if "run_id" in table.c]
