"""Side by side: what several ranks reported of the same steps, as one frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradwatch_service.diagnose.joint import Reports, read, side_by_side
from gradwatch_service.domain import MISSING32, MISSING64, Frame, Layer, LayerTable, is_missing

NOTHING = LayerTable()
TABLE = LayerTable((Layer("a"), Layer("b")))


def frame(steps: list[int], table: LayerTable | None = None, **scalars: Any) -> Frame:
    columns = {name: np.array(values, np.float64) for name, values in scalars.items()}
    hashed = table.hash if table is not None else ""
    return Frame(np.array(steps, np.int64), np.zeros(len(steps)), columns, hashed)


def reports(steps: list[int], *frames: Frame) -> Reports:
    held = read(frame(steps, grad_norm=[1.0] * len(steps)), None)
    for one in frames:
        held = held.then(read(one, held))
    return held


def joint(known: LayerTable = NOTHING, **ranks: Reports) -> tuple[Frame, LayerTable]:
    found = side_by_side(ranks, known)
    assert found is not None
    return found


def test_only_reports_with_a_norm_count() -> None:
    found = read(
        frame(
            [1, 2, 3, 4],
            grad_norm=[1.0, MISSING64, MISSING64, np.nan],
            local_grad_norm=[MISSING64, 2.0, MISSING64, MISSING64],
        ),
        None,
    )
    assert found.steps.tolist() == [1, 2, 4]
    assert is_missing(found.norm).tolist() == [False, True, False]
    assert found.local[1] == 2.0


def test_without_a_global_norm_that_over_the_layers_counts() -> None:
    layers = np.array([[3.0, 4.0], [MISSING32, MISSING32], [3.0, 4.0]], np.float32)
    given = frame([0, 1, 2], TABLE, grad_norm=[MISSING64, MISSING64, 7.0])
    found = read(replace(given, layers={"grad_norm": layers}), None)
    assert (found.steps.tolist(), found.norm.tolist()) == ([0, 2], [5.0, 7.0])


def test_the_weight_norms_are_summed() -> None:
    layers = np.array([[3.0, 4.0], [MISSING32, 2.0], [MISSING32, MISSING32]], np.float32)
    given = frame([0, 1, 2], TABLE, grad_norm=[1.0] * 3)
    found = read(replace(given, layers={"weight_norm": layers}), None)
    assert found.weights[:2].tolist() == [7.0, 2.0]
    assert is_missing(found.weights).tolist() == [False, False, True]
    assert is_missing(read(given, None).weights).all()


def test_a_rank_that_goes_back_is_not_heard_again_until_it_goes_on() -> None:
    assert reports([1, 2, 2, 1, 3]).steps.tolist() == [1, 2, 3]
    again = frame([2, 3, 4], grad_norm=[9.0] * 3)
    assert reports([1, 2, 3], again).steps.tolist() == [1, 2, 3, 4]


def test_a_frame_without_layers_has_those_of_the_frame_before() -> None:
    first = read(frame([0], TABLE, grad_norm=[1.0]), None)
    then = first.then(read(frame([1], grad_norm=[1.0]), first))
    assert then.table[0] == then.table[1] > 0
    assert reports([0]).table.tolist() == [0]


def test_a_range_of_steps_and_a_look_back() -> None:
    held = reports([2, 4, 6, 8])
    assert held.between(2, 6).steps.tolist() == [4, 6]
    assert [held.back(n) for n in (0, 3, 4)] == [8, 2, -1]


def test_steps_of_one_rank_alone_are_left_out() -> None:
    found, table = joint(r0=reports([0, 1, 2, 5]), r1=reports([1, 2, 3]), r2=reports([2, 9]))
    assert found.steps.tolist() == [1, 2]
    assert table.names == ("r0", "r1", "r2")
    assert is_missing(found.layers["rank_grad_norm"]).tolist() == [
        [False, False, True],
        [False, False, False],
    ]
    assert is_missing(found.layers["rank_local_grad_norm"]).all()
    assert side_by_side({"r0": reports([1]), "r1": reports([2])}, NOTHING) is None
    assert side_by_side({}, NOTHING) is None


def test_ranks_get_columns_as_they_join_and_keep_them() -> None:
    _, table = joint(b=reports([1, 2, 3]), a=reports([2, 3]), c=reports([1, 2]))
    assert table.names == ("b", "c", "a")
    again, same = joint(table, a=reports([4]), c=reports([4]))
    assert same is table
    assert is_missing(again.layers["rank_grad_norm"]).tolist() == [[True, False, False]]


def test_what_two_writers_of_one_number_report_of_a_step_counts_for_neither() -> None:
    found, _ = joint(
        **{"r0-aa": reports([1, 2]), "r0-bb": reports([2, 3]), "r1-cc": reports([1, 2, 3])}
    )
    assert is_missing(found.layers["rank_grad_norm"]).tolist() == [
        [False, False, True],
        [True, False, True],
        [True, False, False],
    ]


def test_a_norm_too_large_for_single_precision_is_infinite_and_not_measured_stays_so() -> None:
    given = frame([0, 1], grad_norm=[1e300, MISSING64], local_grad_norm=[1.0, 1.0])
    found, _ = joint(r0=read(given, None), r1=reports([0, 1]))
    norm = found.layers["rank_grad_norm"][:, 0]
    assert norm[0] == np.inf
    assert is_missing(norm).tolist() == [False, True]


@pytest.mark.parametrize(
    ("tables", "alike"),
    [
        ((TABLE, TABLE), 1.0),
        ((TABLE, None), 1.0),
        ((None, None), 1.0),
        ((TABLE, LayerTable((Layer("c"),))), 0.0),
    ],
)
def test_ranks_with_other_layers_are_told_apart(
    tables: tuple[LayerTable | None, LayerTable | None], alike: float
) -> None:
    first, second = (read(frame([0], table, grad_norm=[1.0]), None) for table in tables)
    found, _ = joint(r0=first, r1=second)
    assert found.scalars["rank_alike"].tolist() == [alike]
