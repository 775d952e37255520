"""Pushes to hand to a real writer, and what a database says came of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.domain import Frame, Layer, LayerTable
from gradwatch_service.ingest.pushes import FramePush, Push, Receipt, StepsPush
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import alerts, launches, packing, tables

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
LAYERS = LayerTable(
    tuple(Layer(name, "linear", depth, (64, 64)) for depth, name in enumerate("abc"))
)
DEADLINE = 60.0


@contextmanager
def serving(engine: Engine, **options: Any) -> Iterator[Writer]:
    """A started writer, stopped at the end."""
    writer = Writer(engine, **{"clock": lambda: NOW} | options)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


def create_run(engine: Engine, now: dt.datetime = NOW, **request: Any) -> uuid.UUID:
    """A new run, or another launch of a known one."""
    wanted = launches.RunRequest(**{"id": uuid.uuid4(), "project": "p", "layers": LAYERS} | request)
    with engine.begin() as connection:
        launches.create_or_resume_run(connection, wanted, now)
    return wanted.id


def make_frame(steps: Sequence[int], table: LayerTable | None = None, **scalars: Any) -> Frame:
    """A frame of these steps; the scalars are sequences, or one value for all."""
    count = len(steps)
    columns = {name: np.full(count, value, np.float64) for name, value in scalars.items()}
    layers = {}
    if table is not None:
        layers = {"grad_norm": np.ones((count, len(table)), np.float32)}
    return Frame(
        steps=np.array(steps, np.int64),
        time=np.full(count, 1.0),
        scalars=columns,
        layers_hash=table.hash if table is not None else "",
        layers=layers,
    )


def frame_push(run_id: uuid.UUID, seq: int, frame: Frame, writer: str = "w0") -> FramePush:
    body = packing.pack(frame)
    digest = hashlib.sha256(body).digest()
    return FramePush(run_id, writer, seq, digest, packing.unpack(body), body)


def simple_push(run_id: uuid.UUID, seq: int, writer: str = "w0", loss: float = 1.0) -> FramePush:
    """One step of the number of its seq."""
    return frame_push(run_id, seq, make_frame([seq], loss=loss), writer)


def steps_push(
    run_id: uuid.UUID, steps: Sequence[int], key: str | None = None, **layers: float
) -> StepsPush:
    """Steps with a loss and named layers' gradient norms, as curl sends them."""
    block = np.tile(np.array(list(layers.values()), np.float32), (len(steps), 1))
    frame = Frame(
        steps=np.array(steps, np.int64),
        time=np.full(len(steps), 1.0),
        scalars={"loss": np.ones(len(steps))},
        layers={"grad_norm": block} if layers else {},
    )
    digest = hashlib.sha256(repr((steps, layers)).encode()).digest()
    return StepsPush(run_id, digest, frame, tuple(layers), key)


def events_push(run_id: uuid.UUID, *events: Mapping[str, Any], key: str | None = None) -> StepsPush:
    """What a job says of itself, without any steps."""
    digest = hashlib.sha256(repr(events).encode()).digest()
    return StepsPush(run_id, digest, replace(make_frame([]), events=events), (), key)


def answer(writer: Writer, push: Push) -> Receipt:
    return writer.submit(push).result(DEADLINE)


def rows(
    engine: Engine, table: sa.Table, run_id: uuid.UUID, *columns: str
) -> list[tuple[Any, ...]]:
    """Columns of a run's rows in a table, sorted by them."""
    wanted = [table.c[name] for name in columns]
    with engine.connect() as connection:
        found = connection.execute(sa.select(*wanted).where(table.c.run_id == run_id))
        return sorted(tuple(row) for row in found)


def verdict(engine: Engine, run_id: uuid.UUID) -> Mapping[str, object]:
    """All that was concluded of a run, without the wall clock."""
    with engine.connect() as connection:
        found = alerts.of_runs(connection, [run_id]).get(run_id, {})
    times = {"opened_at", "updated_at"}
    return {
        "alerts": {
            cause: {key: value for key, value in kept.body.items() if key not in times}
            for cause, kept in found.items()
        },
        "transitions": rows(
            engine, tables.alert_events, run_id, "writer", "number", "cause", "kind", "step", "text"
        ),
        "writers": [
            (writer, ordinal, str(guard))
            for writer, ordinal, guard in rows(
                engine, tables.writers, run_id, "writer", "ordinal", "guard"
            )
        ],
        "run": rows(engine, tables.runs, run_id, "health", "open_alerts", "last_step", "degraded"),
    }
