"""Prepared statements do what SQLAlchemy's own would, on both databases."""

from __future__ import annotations

import datetime as dt
import gc
import sys
import uuid

import sqlalchemy as sa
from sqlalchemy import Engine, bindparam, insert, select, update

from gradwatch_service.store.database import for_writing
from gradwatch_service.store.prepared import Prepared
from gradwatch_service.store.tables import frames
from gradwatch_service.store.types import UtcDateTime, milliseconds

RUN = uuid.UUID(int=7)
TIME = dt.datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=5)))


def row(seq: int, **values: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "run_id": RUN, "writer": "w0", "attempt": 1, "seq": seq, "digest": bytes(32),
        "layers_hash": "", "step_min": 2**40, "step_max": None, "reports": 1, "ordinal": None,
        "received_at": TIME, "body": b"\0\xff",
    }  # fmt: skip
    return plain | values


def test_what_is_inserted_is_read_as_it_was(engine: Engine) -> None:
    prepared = Prepared(insert(frames), frames.columns.keys())
    wanted = [row(0), row(1, ordinal=3, body=b"", step_min=None), row(2, layers_hash="ü'%s:x?")]
    with for_writing(engine).begin() as connection:
        assert prepared.execute(connection, wanted[:1]).rowcount == 1
        assert prepared.execute(connection, wanted[1:]).rowcount == 2
    with engine.connect() as connection:
        found = connection.execute(select(frames).order_by(frames.c.seq)).mappings()
        assert [{key: one[key] for key in row(0)} for one in found] == wanted


def test_an_update_says_how_many_rows_it_touched(engine: Engine) -> None:
    prepared = Prepared(
        update(frames)
        .where(frames.c.seq == bindparam("at"), frames.c.writer == "w0")
        .values(ordinal=bindparam("place"), layers_hash="constant")
    )
    with for_writing(engine).begin() as connection:
        connection.execute(insert(frames), [row(0), row(1), row(2, writer="w1")])
        assert prepared.execute(connection, [{"at": 9, "place": 1}]).rowcount == 0
        both = [{"at": 0, "place": 5}, {"at": 1, "place": None}]
        assert prepared.execute(connection, both).rowcount == 2
        assert prepared.execute(connection, [{"at": 2, "place": 1}, both[0]]).rowcount == 1
        query = select(frames.c.ordinal, frames.c.layers_hash).order_by(frames.c.seq)
        found = connection.execute(query).all()
    assert found == [(5, "constant"), (None, "constant"), (None, "")]


def test_bodies_are_not_remembered(engine: Engine) -> None:
    prepared = Prepared(insert(frames), frames.columns.keys())
    body = bytes(100_000)
    before = sys.getrefcount(body)
    with for_writing(engine).begin() as connection:
        prepared.execute(connection, [row(0, body=body)])
    gc.collect()
    assert sys.getrefcount(body) == before


def test_pauses_are_exact_to_the_millisecond(engine: Engine) -> None:
    first, second = (bindparam(name, type_=UtcDateTime) for name in ("first", "second"))
    query = select(milliseconds(first, second))
    start = dt.datetime(2026, 2, 28, 23, 59, 59, 999000, tzinfo=dt.UTC)
    with engine.connect() as connection:
        for pause in [*range(0, 2_000, 37), 86_400_001, 31_536_000_999, 3_155_760_000_001]:
            later = start + dt.timedelta(milliseconds=pause)
            assert connection.execute(query, {"first": start, "second": later}).scalar() == pause
            assert connection.execute(query, {"first": later, "second": start}).scalar() == -pause


def test_pauses_of_a_part_of_a_millisecond_are_rounded_alike(engine: Engine) -> None:
    first, second = (bindparam(name, type_=UtcDateTime) for name in ("first", "second"))
    query = select(sa.cast(milliseconds(first, second), sa.Integer))
    start = dt.datetime(2026, 2, 28, tzinfo=dt.UTC)
    times = [start + dt.timedelta(microseconds=x) for x in (400, 600, 1_400, 1_600)]
    with engine.connect() as connection:
        found = [
            connection.execute(query, {"first": start, "second": one}).scalar() for one in times
        ]
    assert found == [0, 1, 1, 2]
