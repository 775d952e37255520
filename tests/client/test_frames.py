from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwatch import frames
from gradwatch.frames import encode, table_of
from gradwatch.layers import Layer, LayerTable
from gradwatch.records import Event, Report
from gradwatch.spool.entries import Frame
from gradwatch.values import MISSING32_BITS, missing32
from gradwatch_service.domain import is_missing
from gradwatch_service.store.packing import unpack

TABLE = LayerTable((Layer("a"), Layer("b")))
GROWN = TABLE.extended([Layer("c")])


def pair(first: float, second: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([first, second], np.float32)


def test_a_frame_has_exactly_the_bytes_of_the_contract() -> None:
    report = Report(3, 1.5, TABLE, {"loss": 2.0}, {"grad_norm": pair(1.0, 0.5)})
    assert msgpack.unpackb(encode([report])) == {
        "steps": bytes.fromhex("0300000000000000"),
        "time": bytes.fromhex("000000000000f83f"),
        "scalars": {"loss": bytes.fromhex("0000000000000040")},
        "layers_hash": TABLE.hash,
        "layers": {"grad_norm": bytes.fromhex("0000803f0000003f")},
    }


def test_the_service_reads_back_what_was_reported() -> None:
    reports = [
        Report(7, 10.0, TABLE, {"loss": math.nan}, {"grad_norm": pair(1.0, math.inf)}),
        Report(8, 11.0, TABLE, {"lr": 0.1}, {"weight_norm": pair(2.0, 3.0)}),
    ]
    frame = unpack(encode(reports))
    assert frame.steps.tolist() == [7, 8]
    assert frame.time.tolist() == [10.0, 11.0]
    assert math.isnan(frame.scalars["loss"][0])
    assert is_missing(frame.scalars["loss"]).tolist() == [False, True]
    assert is_missing(frame.scalars["lr"]).tolist() == [True, False]
    assert frame.layers["grad_norm"][0].tolist() == [1.0, math.inf]
    assert frame.layers["grad_norm"][1].view(np.uint32).tolist() == [MISSING32_BITS] * 2
    assert is_missing(frame.layers["weight_norm"]).tolist() == [[True, True], [False, False]]


def test_events_travel_beside_the_steps() -> None:
    frame = unpack(encode([Event(TABLE, {"kind": "phase"}), Report(0, 0.0, TABLE)]))
    assert [dict(event) for event in frame.events] == [{"kind": "phase"}]
    assert frame.steps.tolist() == [0]


def test_a_frame_may_hold_nothing_but_events() -> None:
    frame = unpack(encode([Event(LayerTable(), {"kind": "note", "time": 1.0})]))
    assert len(frame) == 0
    assert len(frame.events) == 1
    assert frame.layers_hash == ""


def test_profiles_are_packed_step_by_step() -> None:
    reports = [Report(i, 0.0, TABLE, profiles={"time": pair(i, i + 0.5)}) for i in range(3)]
    assert unpack(encode(reports)).profiles["time"].tolist() == [[0, 0.5], [1, 1.5], [2, 2.5]]


def test_the_table_of_a_frame_is_that_of_its_reports() -> None:
    assert table_of([Event(GROWN, {}), Report(0, 0.0, TABLE), Event(GROWN, {})]) is TABLE
    assert table_of([Event(TABLE, {}), Event(GROWN, {})]) is GROWN


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**53 - 1),
            st.dictionaries(st.sampled_from(["loss", "lr", "x"]), st.floats()),
            st.none() | st.lists(st.floats(width=32), min_size=2, max_size=2),
        ),
        min_size=1,
    )
)
def test_any_reports_come_back_bit_for_bit(
    rows: list[tuple[int, dict[str, float], list[float] | None]],
) -> None:
    reports = [
        Report(step, 0.0, TABLE, scalars, {"g": np.array(stat, np.float32)} if stat else {})
        for step, scalars, stat in rows
    ]
    frame = unpack(encode(reports))
    for row, (step, scalars, stat) in enumerate(rows):
        assert frame.steps[row] == step
        for name, column in frame.scalars.items():
            sent = np.float64(scalars[name]) if name in scalars else None
            assert (is_missing(column)[row]) == (sent is None)
            assert sent is None or column[row].tobytes() == sent.tobytes()
        if "g" in frame.layers:
            expected = missing32(2) if stat is None else np.array(stat, np.float32)
            assert frame.layers["g"][row].tobytes() == expected.tobytes()


def test_a_frame_is_halved_without_losing_anything() -> None:
    table = LayerTable([Layer("a"), Layer("b")])
    records: list[Any] = [
        Report(
            step, step / 8, table, {"loss": step / 2} | ({"lr": 0.1} if step % 2 else {}),
            {"grad_norm": np.array([step, -step], np.float32)}, {"time": np.ones(3, np.float32)},
        )
        for step in range(7)
    ]  # fmt: skip
    records += [Event(table, {"kind": "note", "number": number}) for number in range(3)]
    whole = frames.pack(records)
    parts = frames.split(whole)
    assert [part.records for part in parts] == [5, 5]
    assert {part.table for part in parts} == {table.hash}
    first, second = (unpack(part.body) for part in parts)
    together = unpack(whole.body)
    for one in ("steps", "time"):
        halves = [getattr(half, one) for half in (first, second)]
        assert np.array_equal(np.concatenate(halves), getattr(together, one))
    for group in ("scalars", "layers", "profiles"):
        for name, values in getattr(together, group).items():
            halves = [getattr(half, group)[name] for half in (first, second)]
            assert np.concatenate(halves).tobytes() == values.tobytes()
    assert [*first.events, *second.events] == list(together.events)


def halved(frame: Frame) -> list[Frame]:
    """All that is left when it is halved again and again."""
    parts = frames.split(frame)
    return parts if len(parts) == 1 else [small for part in parts for small in halved(part)]


@pytest.mark.parametrize(("reports", "events"), [(1, 0), (0, 1), (1, 1), (1, 4), (0, 5), (6, 3)])
def test_halving_ends_with_single_records(reports: int, events: int) -> None:
    records: list[Any] = [Report(step, 0.0, LayerTable(), {"loss": 1.0}) for step in range(reports)]
    records += [Event(LayerTable(), {"kind": "note", "number": n}) for n in range(events)]
    parts = halved(frames.pack(records))
    assert [part.records for part in parts] == [1] * (reports + events)
    found = [unpack(part.body) for part in parts]
    assert [int(step) for frame in found for step in frame.steps] == list(range(reports))
    assert [event["number"] for frame in found for event in frame.events] == list(range(events))
