"""Rows that fit any table, for what must hold of all tables alike."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from gradwatch_service.store.types import JsonText, UtcDateTime

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
SAMPLES: Mapping[type, Any] = {
    sa.String: "x", sa.Text: "x", sa.Boolean: False, sa.LargeBinary: bytes(512),
    UtcDateTime: NOW, JsonText: {},
}  # fmt: skip


def value(column: sa.Column[Any], number: int) -> Any:
    """A value of the column's type; ids and numbers differ with ``number``."""
    kind = type(column.type)
    if kind is sa.Uuid:
        return uuid.UUID(int=number)
    if kind in {sa.String, sa.Text} and column.primary_key:
        return f"x{number}"
    if kind is sa.LargeBinary and column.primary_key:
        return number.to_bytes(32, "big")
    return SAMPLES[kind] if kind in SAMPLES else number % 30_000
