from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradwatch.layers import Layer, LayerTable
from gradwatch.records import (
    Event,
    Measured,
    Report,
    read_layer_stats,
    read_named,
    read_profiles,
    read_scalars,
)
from gradwatch.values import MISSING32_BITS, missing32

TABLE = LayerTable((Layer("a"), Layer("b"), Layer("c")))


def shown(array: Any) -> list[float | None]:
    """Values, with None for those not measured."""
    missing = array.view(np.uint32) == MISSING32_BITS
    return [None if gone else float(value) for value, gone in zip(array, missing, strict=True)]


def test_scalars_without_those_not_measured_and_those_not_understood() -> None:
    scalars, malformed = read_scalars({"loss": 1, "lr": None, "note": "high", "b\n": 2.0})
    assert scalars == {"loss": 1.0}
    assert malformed == 2


def test_layers_in_the_order_of_the_table_are_read_in_one_go() -> None:
    given = {name: {"grad_norm": i, "weight_norm": 10.0 * i} for i, name in enumerate("abc")}
    stats, malformed = read_layer_stats(TABLE, given)
    assert malformed == 0
    assert {name: shown(row) for name, row in stats.items()} == {
        "grad_norm": [0.0, 1.0, 2.0],
        "weight_norm": [0.0, 10.0, 20.0],
    }


def test_some_layers_in_another_order_find_their_columns() -> None:
    stats, _ = read_layer_stats(TABLE, {"c": {"grad_norm": 3.0}, "a": {"grad_norm": 1.0}})
    assert shown(stats["grad_norm"]) == [1.0, None, 3.0]


def test_layers_with_different_statistics_are_read_one_by_one() -> None:
    given: dict[str, Any] = {
        "a": {"grad_norm": 1.0, "weight_norm": None},
        "b": {"weight_norm": 2.0, "grad_norm": "much"},
        "c": 7,
    }
    stats, malformed = read_layer_stats(TABLE, given)
    assert malformed == 2
    assert {name: shown(row) for name, row in stats.items()} == {
        "grad_norm": [1.0, None, None],
        "weight_norm": [None, 2.0, None],
    }


def test_both_ways_of_reading_layers_agree() -> None:
    plain = {name: {"x": math.nan, "y": 1e300, "z": float(i)} for i, name in enumerate("abc")}
    mixed = {name: dict(reversed(stats.items())) for name, stats in plain.items()}
    mixed["a"] = plain["a"]
    fast, slow = read_layer_stats(TABLE, plain)[0], read_layer_stats(TABLE, mixed)[0]
    assert {name: row.tobytes() for name, row in fast.items()} == {
        name: row.tobytes() for name, row in slow.items()
    }


def test_no_layers_are_no_statistics() -> None:
    assert read_layer_stats(TABLE, {}) == ({}, 0)


def test_only_usable_layer_names_are_kept() -> None:
    assert read_named(TABLE, {"a": {}, "": {}, 3: {}}) == ({"a": {}}, 2)
    assert read_named(TABLE, ["a"]) == ({}, 1)


@pytest.mark.parametrize(
    "values", ["abc", [[1.0], [2.0]], [], [1, "x"], 3.0, np.zeros(70_000), {"a": 1}]
)
def test_a_profile_is_a_list_of_numbers(values: object) -> None:
    assert read_profiles({"time": values}) == ({}, 1)


def test_profiles_are_read_as_32_bit_numbers() -> None:
    profiles, malformed = read_profiles({"time": [1, 2.5], "": [1]})
    assert profiles["time"].tolist() == [1.0, 2.5]
    assert profiles["time"].dtype == np.float32
    assert malformed == 1
    assert read_profiles("time") == ({}, 1)


@pytest.mark.parametrize(
    ("report", "critical"),
    [
        (Report(0, 0.0, TABLE, {"loss": 1.0}), False),
        (Report(0, 0.0, TABLE, {"loss": 1.0}, first=True), True),
        (Report(0, 0.0, TABLE, {"loss": math.nan}), True),
        (Report(0, 0.0, TABLE, {}, {"grad_norm": missing32(3)}), False),
        (Report(0, 0.0, TABLE, {}, {"grad_norm": np.full(3, math.inf, np.float32)}), True),
        (Report(0, 0.0, TABLE, {}, {}, {"time": np.full(3, math.nan, np.float32)}), True),
    ],
)
def test_the_first_report_and_non_finite_ones_are_critical(report: Report, critical: bool) -> None:
    assert report.critical is critical


def test_reports_share_a_frame_if_table_and_profile_lengths_are_equal() -> None:
    plain = Report(0, 0.0, TABLE)
    short = Report(0, 0.0, TABLE, profiles={"time": missing32(3)})
    long = Report(0, 0.0, TABLE, profiles={"time": missing32(4)})
    other = Report(0, 0.0, LayerTable((Layer("a"),)))
    assert len({plain.group, short.group, long.group, other.group}) == 4
    assert plain.group == Report(9, 9.0, LayerTable(TABLE.layers), {"loss": 1.0}).group


def test_size_follows_the_arrays() -> None:
    assert Report(0, 0.0, TABLE, {"loss": 1.0}, {"g": missing32(300)}).size == 200 + 100 + 1200
    assert Event(TABLE, {"kind": "note", "text": "x"}).size == 400


def test_measured_columns_are_placed_in_a_table_that_has_grown() -> None:
    columns = np.array([2, 0])
    arrays = {"grad_norm": np.array([5.0, 6.0], np.float32)}
    report = Measured(4, 1.0, {"loss": 2.0}, columns, arrays).report(TABLE, first=False)
    assert shown(report.layers["grad_norm"]) == [6.0, None, 5.0]
    assert (report.step, report.table, report.scalars) == (4, TABLE, {"loss": 2.0})
