from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gradwatch.buffer import Buffer, Counts
from gradwatch.config import Config
from gradwatch.layers import Layer, LayerTable
from gradwatch.records import Event, Record, Report

TABLE = LayerTable()
OTHER = LayerTable((Layer("a"),))
LARGE = 10**9


def report(step: int, **fields: Any) -> Report:
    return Report(step, 0.0, fields.pop("table", TABLE), **fields)


def broken(step: int) -> Report:
    return report(step, scalars={"loss": float("nan")})


def steps(records: list[Record]) -> list[int]:
    return [record.step if isinstance(record, Report) else -1 for record in records]


def filled(records: list[Record], **limits: int) -> Buffer:
    buffer = Buffer(Config(**limits))  # type: ignore[arg-type]
    for record in records:
        buffer.append(record)
    return buffer


def test_records_leave_in_the_order_in_which_they_came() -> None:
    buffer = filled([report(0), broken(1), report(2), Event(TABLE, {}), broken(4)])
    assert steps(buffer.take(100, LARGE)) == [0, 1, 2, -1, 4]


def test_a_full_buffer_drops_the_oldest_ordinary_record() -> None:
    buffer = filled([report(0, first=True), broken(1), *map(report, range(2, 7))], queue_records=4)
    assert steps(buffer.take(100, LARGE)) == [0, 1, 5, 6]
    assert buffer.counts == Counts(observed=7, dropped=3, pending=4)


def test_the_newest_is_refused_where_everything_queued_is_critical() -> None:
    buffer = filled([broken(step) for step in range(5)], queue_records=3)
    assert steps(buffer.take(100, LARGE)) == [0, 1, 2]
    assert buffer.counts.dropped == 2


def test_bytes_are_bounded_too() -> None:
    buffer = filled([report(step) for step in range(10)], queue_bytes=1000)
    assert steps(buffer.take(100, LARGE)) == [5, 6, 7, 8, 9]


def test_a_record_larger_than_the_buffer_is_dropped() -> None:
    buffer = filled([report(0)], queue_bytes=100)
    assert buffer.counts == Counts(observed=1, dropped=1)


@pytest.mark.parametrize(
    ("records", "taken"),
    [
        ([report(0), report(1, table=OTHER)], [0]),
        ([report(0), Event(OTHER, {}), report(2)], [0, -1, 2]),
        ([Event(TABLE, {}), report(1), report(2, table=OTHER)], [-1, 1]),
    ],
)
def test_a_frame_takes_records_of_one_table_and_any_events(
    records: list[Record], taken: list[int]
) -> None:
    assert steps(filled(records).take(100, LARGE)) == taken


def test_a_frame_is_limited_in_records_and_bytes_but_takes_at_least_one() -> None:
    buffer = filled([report(step) for step in range(10)])
    assert steps(buffer.take(4, LARGE)) == [0, 1, 2, 3]
    assert steps(buffer.take(100, 450)) == [4, 5]
    assert steps(buffer.take(100, 1)) == [6]


def test_records_put_back_are_taken_again_in_their_order() -> None:
    buffer = filled([report(0), broken(1), report(2), broken(3)])
    taken = buffer.take(3, LARGE)
    buffer.append(report(4))
    buffer.put_back(taken)
    assert steps(buffer.take(100, LARGE)) == [0, 1, 2, 3, 4]
    buffer.put_back(buffer.take(0, LARGE))
    assert buffer.counts.pending == 5


def test_put_back_into_an_empty_buffer() -> None:
    buffer = filled([report(0), report(1)])
    buffer.put_back(buffer.take(2, LARGE))
    buffer.append(report(2))
    assert steps(buffer.take(100, LARGE)) == [0, 1, 2]


def test_waiting_ends_when_everything_is_settled() -> None:
    buffer = filled([report(0)])
    assert not buffer.wait_empty(0.0)
    buffer.take(1, LARGE)
    buffer.settle(stored=1)
    assert buffer.wait_empty(0.0)


class BufferAccounting(RuleBasedStateMachine):
    """Whatever happens, every record is somewhere, and the bounds hold."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = Buffer(Config(queue_records=6, queue_bytes=2000))
        self.in_flight: list[Record] = []
        self.made = 0

    @rule(critical=st.booleans(), scalars=st.integers(0, 8), other=st.booleans())
    def append(self, *, critical: bool, scalars: int, other: bool) -> None:
        values = {f"s{i}": 1.0 for i in range(scalars)}
        table = OTHER if other else TABLE
        self.buffer.append(Report(self.made, 0.0, table, values, first=critical))
        self.made += 1

    @rule()
    def refuse(self) -> None:
        self.buffer.refuse()
        self.made += 1

    @rule(records=st.integers(0, 8), size=st.integers(0, 3000))
    @precondition(lambda self: not self.in_flight)
    def take(self, records: int, size: int) -> None:
        self.in_flight = self.buffer.take(records, size)

    @rule()
    def put_back(self) -> None:
        self.buffer.put_back(self.in_flight)
        self.in_flight = []

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        stored = data.draw(st.integers(0, len(self.in_flight)))
        self.buffer.settle(stored=stored, rejected=len(self.in_flight) - stored)
        self.in_flight = []

    @invariant()
    def every_record_is_somewhere(self) -> None:
        counts = self.buffer.counts
        known = counts.stored + counts.rejected + counts.dropped + counts.pending
        assert counts.observed == self.made == known
        assert counts.pending == len(self.buffer) + len(self.in_flight)
        assert min(counts.stored, counts.rejected, counts.dropped, counts.pending) >= 0


BufferAccounting.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
TestBufferAccounting = BufferAccounting.TestCase
