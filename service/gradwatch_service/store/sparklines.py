"""The small curves beside the runs of a list: a few points of loss and gradient norm each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import Connection, select

from gradwatch_service.domain import FloatArray, IntArray
from gradwatch_service.store.downsampling import downsample
from gradwatch_service.store.series import scalars
from gradwatch_service.store.tables import runs

METRICS = ("loss", "grad_norm")

# Metric -> steps and values.
Sparkline: TypeAlias = Mapping[str, tuple[IntArray, FloatArray]]


def sparklines(
    connection: Connection, project: str | None, run_ids: Sequence[uuid.UUID], points: int
) -> dict[uuid.UUID, Sparkline]:
    """Of those runs that exist, and belong to the project if one is given, in the order asked."""
    query = select(runs.c.run_id).where(runs.c.run_id.in_(run_ids))
    if project is not None:
        query = query.where(runs.c.project == project)
    known = set(connection.execute(query).scalars())
    return {one: _of_run(connection, one, points) for one in run_ids if one in known}


def _of_run(connection: Connection, run_id: uuid.UUID, points: int) -> Sparkline:
    found = scalars(connection, run_id, METRICS, points)
    return {
        metric: downsample(curve.steps, curve.values, points) for metric, curve in found.items()
    }
