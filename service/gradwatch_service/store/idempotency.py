"""Idempotency keys of the simple path: which body each was used for."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select

from gradwatch_service.store.tables import idempotency_keys

_insert = insert(idempotency_keys)


def digest(connection: Connection, run_id: uuid.UUID, key: str) -> bytes | None:
    """The digest of the body a key was used for within a run; None if it is unused."""
    query = select(idempotency_keys.c.digest).where(
        idempotency_keys.c.run_id == run_id, idempotency_keys.c.key == key
    )
    return connection.execute(query).scalar()


def add(
    connection: Connection, used: Mapping[tuple[uuid.UUID, str], bytes], now: dt.datetime
) -> None:
    """Note keys as used, all of a group at once."""
    if used:
        rows = [
            {"run_id": run_id, "key": key, "digest": body, "created_at": now}
            for (run_id, key), body in used.items()
        ]
        connection.execute(_insert, rows)
