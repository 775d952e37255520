"""What is asked for again and again is found by an index, not by reading whole tables."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, Engine, event

from gradwatch_service.errors import NotFound
from gradwatch_service.store import deliveries, gauges, letters
from tests.alerting import NOW, PROJECT

CHANNEL = (PROJECT, uuid.UUID(int=1))


def ways(engine: Engine, work: Callable[[Connection], object]) -> list[str]:
    """How SQLite reads the tables of deliveries and alerts for each query of this."""
    asked: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, given: object, *_: object) -> None:
        asked.append((statement, given))

    event.listen(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        work(connection)
        event.remove(engine, "before_cursor_execute", note)
        plans = [
            str(row[3])
            for statement, given in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        ]
    return [plan for plan in plans if " deliveries" in plan or " alerts" in plan]


def missing(connection: Connection) -> None:
    with pytest.raises(NotFound):
        letters.replay(connection, PROJECT, uuid.uuid4(), NOW)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("work", "found_by"),
    [
        (lambda c: deliveries.sent_since(c, CHANNEL, NOW), ["channel_id=? AND attempted_at>?"]),
        (lambda c: letters.list_deliveries(c, PROJECT, None), ["project=?"]),
        (lambda c: letters.newest_of(c, [CHANNEL[1]]), ["channel_id=? AND attempted_at>?"]),
        (missing, ["delivery_id=?"]),
        (lambda c: gauges.standing(c, NOW), ["state=?", "state=?"]),
    ],
    ids=["sent lately", "list", "newest of a channel", "one", "gauges"],
)
def test_no_query_reads_a_whole_table(
    engine: Engine, work: Callable[[Connection], object], found_by: list[str]
) -> None:
    found = ways(engine, work)
    assert len(found) == len(found_by)
    for way, condition in zip(found, found_by, strict=True):
        assert way.startswith("SEARCH")
        assert f"({condition})" in way
