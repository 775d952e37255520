"""Segments, scalar tracks and what the view offers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect import substrate
from gradwatch_service.detect.columns import merged, per_table
from gradwatch_service.detect.fixedpoint import FLOOR, ONE_BIT, as_value
from gradwatch_service.detect.formats import element_limit, global_norm_limit, norm_limit
from gradwatch_service.domain import MISSING32, MISSING64, Layer, LayerTable, is_missing
from tests.service.detect.watching import watch
from tests.streams import MLP, Scenario, steady


def segments(run: Scenario, ordinal: int = 0) -> list[int]:
    state = replace(substrate.init(run.layers), ordinal=ordinal)
    return [len(part) for part in substrate.segments(state, run.frame)]


def test_a_frame_is_cut_where_blocks_end() -> None:
    assert segments(steady(40)) == [16, 16, 8]
    assert segments(steady(40), ordinal=10) == [6, 16, 16, 2]
    assert segments(steady(6), ordinal=10) == [6]
    assert segments(steady(0)) == []


def test_and_where_the_loss_first_turns_negative() -> None:
    loss = np.ones(40)
    loss[[5, 7]] = -1.0
    assert segments(steady(40).scalar("loss", loss)) == [5, 11, 16, 8]
    loss[[5, 7]] = -np.inf
    assert segments(steady(40).scalar("loss", loss)) == [16, 16, 8]


def test_views_count_reports_and_carry_the_steps() -> None:
    run = steady(20)
    run = replace(run, frame=replace(run.frame, steps=run.frame.steps * 10 + 2**52))
    first, second = watch(run).seen
    assert first.view.ordinal.tolist() == list(range(16))
    assert second.view.step.tolist() == [2**52 + 160, 2**52 + 170, 2**52 + 180, 2**52 + 190]
    assert (len(first.view), len(second.view)) == (16, 4)
    assert first.view.block is not None
    assert second.view.block is None


def test_without_a_reported_norm_it_is_that_over_the_measured_layers() -> None:
    run = steady(16)
    grads = np.full((16, len(MLP)), 3.0)
    grads[3, 1:], grads[4], grads[5, 2] = MISSING32, MISSING32, np.inf
    bare = replace(run, frame=replace(run.frame, scalars={})).stat("grad_norm", grads)
    norm = watch(bare).seen[0].view.norm
    assert as_value(norm.y[0]) == pytest.approx(3 * 8**0.5, rel=1e-3)
    assert as_value(norm.y[3]) == pytest.approx(3.0, rel=1e-3)
    assert norm.ok.tolist() == [True] * 4 + [False, False] + [True] * 10
    assert norm.bad.tolist() == [False] * 5 + [True] + [False] * 10


def test_once_the_job_reports_a_norm_only_that_counts() -> None:
    given = np.full(32, MISSING64)
    given[[8, 20]] = 5.0
    norm = watch(steady(32).scalar("grad_norm", given)).column("norm", "ok")
    assert np.flatnonzero(norm).tolist() == [*range(9), 20]


def test_without_gradients_nothing_is_measured_and_nothing_is_bad() -> None:
    run = steady(40)
    weights = {"weight_norm": run.frame.layers["weight_norm"]}
    found = watch(replace(run, frame=replace(run.frame, scalars={}, layers=weights)))
    assert found.findings == []
    assert not found.column("norm", "measured").any()
    assert not found.column("layer", "bad").any()


def test_a_negative_loss_changes_the_unit_and_forgets_the_logarithms() -> None:
    loss = np.where(np.arange(64) < 20, 3.0, -1.0)
    watched = watch(steady(64).scalar("loss", loss))
    before, after = watched.seen[1].view.loss, watched.seen[2].view.loss
    assert (before.linear, after.linear) == (False, True)
    # The largest of the losses so far is 3: the unit is 2**(2 - 20).
    assert watched.state.substrate.loss_shift == 2
    assert after.y[0] == -(2**18)
    assert (after.count[0], after.past.count) == (1, 0)
    assert watched.state.substrate.scalars.seen.tolist() == [64, 44, 64]


def test_a_negative_loss_beyond_all_bounds_is_clipped() -> None:
    loss = np.full(40, -1.0)
    loss[3:6] = 1e30, -1e30, np.nan
    track = watch(steady(40).scalar("loss", loss)).seen[0].view.loss
    assert track.y[3:5].tolist() == [2**29, -(2**29)]
    assert not track.ok[5]


def test_windows_hold_the_values_there_are() -> None:
    loss = np.exp2(np.arange(40.0))
    run = steady(40).scalar("loss", loss).without([1, 2, 20])
    track = watch(run).seen[1].view.loss
    row = 20 - 16
    assert (track.window(4)[row] // ONE_BIT).tolist() == [16, 17, 18, 19]
    assert (track.window(4)[row + 1] // ONE_BIT).tolist() == [17, 18, 19, 21]
    assert track.span(4)[row + 1] == 4
    assert track.count[row - 1 : row + 2].tolist() == [18, 18, 19]
    assert track.window(128).shape == (16, 128)
    assert (track.last(row, 4) // ONE_BIT).tolist() == [16, 17, 18, 19]
    assert track.level(row) == track.medians[row] == sorted(track.window(16)[row])[8]
    assert len(watch(run).seen[0].view.loss.last(-1, 5)) == 5


def test_a_zero_is_the_floor() -> None:
    assert watch(steady(1).scalar("grad_norm", 0.0)).seen[0].view.norm.y.tolist() == [FLOOR]


def test_scalars_are_read_with_missing_told_from_nan() -> None:
    view = watch(steady(3).scalar("lr", np.array([1.0, np.nan, MISSING64]))).seen[0].view
    assert is_missing(view.scalar("lr")).tolist() == [False, False, True]
    assert np.isnan(view.measured("lr")).tolist() == [False, True, True]
    assert is_missing(view.scalar("unheard of")).tolist() == [True] * 3
    assert view.stat("unheard of") is None


@pytest.mark.parametrize("name", ["lr", "batch_size", "seq_len"])
@pytest.mark.parametrize(("factor", "expected"), [(1.25, 64), (0.8, 64), (1.24, 0), (0.81, 0)])
def test_a_change_by_a_quarter_is_announced_for_64_reports(
    name: str, factor: float, expected: int
) -> None:
    values = np.full(200, 8.0)
    values[50:] *= factor
    values[40:60:3], values[41] = np.nan, np.inf
    announced = np.concatenate(
        [x.view.announced for x in watch(steady(200).scalar(name, values)).seen]
    )
    assert announced.sum() == expected
    assert not announced[:50].any()


def test_a_warm_up_from_zero_is_announced_and_a_constant_zero_is_not() -> None:
    rate = np.concatenate([np.zeros(10), np.full(10, 1e-3)])
    announced = np.concatenate(
        [x.view.announced for x in watch(steady(20).scalar("lr", rate)).seen]
    )
    assert np.flatnonzero(announced).tolist() == list(range(10, 20))


def test_the_limits_of_the_formats() -> None:
    def layers(*dtypes: str) -> LayerTable:
        return LayerTable(tuple(Layer(f"{i}", dtype=dtype) for i, dtype in enumerate(dtypes)))

    mixed = layers("float16", "bfloat16", "float64")
    assert (element_limit(mixed) / ONE_BIT).round(3).tolist() == [15.999, 128.0, 1024.0]
    assert (norm_limit(mixed) / ONE_BIT).tolist() == [64.0, 64.0, 512.0]
    assert global_norm_limit(mixed) == global_norm_limit(LayerTable()) == 64 * ONE_BIT
    assert global_norm_limit(layers("float64")) == 512 * ONE_BIT


def test_facts_of_a_table_are_worked_out_once() -> None:
    calls = []

    @per_table
    def size(layers: LayerTable) -> int:
        calls.append(layers)
        return len(layers)

    table = LayerTable((Layer("a"),))
    assert (size(table), size(table), size(LayerTable())) == (1, 1, 0)
    assert len(calls) == 2


def test_merged_tables_keep_the_order_of_appearance_and_the_newest_description() -> None:
    old = LayerTable((Layer("a"), Layer("b", "linear")))
    new = LayerTable((Layer("c"), Layer("a", "norm")))
    assert merged(old, new).layers == (Layer("a", "norm"), Layer("b", "linear"), Layer("c"))
