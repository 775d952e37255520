"""The newest checkpoint of each writer's fold: where it stood, and its state as bytes."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from gradwatch_service.store.tables import detector_states
from gradwatch_service.store.upsert import upsert


class Checkpoint(NamedTuple):
    """A state (``body``, of ``store.checkpoint``) after ``ordinal`` reports of a writer.

    The next report lies, or will lie, in frame ``seq`` or after it.
    """

    run_id: uuid.UUID
    writer: str
    ordinal: int
    seq: int
    body: bytes


def save(connection: Connection, rows: Sequence[Checkpoint]) -> None:
    """Keep these in place of the ones before."""
    upsert(connection, detector_states, [row._asdict() for row in rows])


def find(connection: Connection, run_id: uuid.UUID, writer: str) -> Checkpoint | None:
    """The newest of a writer; None if there is none."""
    query = select(detector_states).where(
        detector_states.c.run_id == run_id, detector_states.c.writer == writer
    )
    row = connection.execute(query).first()
    return None if row is None else Checkpoint(*row)
