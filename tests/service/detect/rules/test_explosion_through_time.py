"""explosion-through-time."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.rules.explosion_through_time import backward_slope, time_steps
from gradwatch_service.domain import MISSING32
from tests.service.detect.watching import Watched, watch
from tests.streams import RECURRENT, Scenario, steady

RULE = "explosion-through-time"


def profiled(beta: float, *, length: int = 50, rows: slice = slice(0, None)) -> Scenario:
    """Gradients that grow by beta bits a time step on the way back, in these reports."""
    table = np.ones((80, length), np.float32)
    table[rows] = np.exp2(beta * np.arange(length)[::-1])
    run = steady(80, layers=RECURRENT)
    return replace(run, frame=replace(run.frame, profiles={"time": table}))


def test_three_profiles_in_a_row_open_it() -> None:
    assert watch(profiled(0.2)).of(RULE) == [(2, "opened", "error")]
    assert watch(profiled(0.2, rows=slice(10, 12))).of(RULE) == []


def test_six_bits_over_the_whole_length_are_needed() -> None:
    assert watch(profiled(0.119)).of(RULE) == []
    assert watch(profiled(0.121)).of(RULE) == [(2, "opened", "error")]
    assert watch(profiled(0.2, length=29)).of(RULE) == []
    assert watch(profiled(-0.5)).of(RULE) == []


def test_it_ends_after_32_reports_below() -> None:
    found = watch(profiled(0.3, rows=slice(0, 20))).of(RULE)
    assert found == [(2, "opened", "error"), (51, "cleared", "error")]


def test_the_evidence_is_the_growth_the_slope_and_the_recurrent_layer() -> None:
    finding = watch(profiled(0.25)).first(RULE)
    growth, slope = finding.evidence
    assert (growth.value, growth.threshold, growth.layer) == (
        pytest.approx(12.5, rel=1e-3), 6.0, "rnn.weight_hh",
    )  # fmt: skip
    assert (slope.name, slope.value) == ("time-slope", pytest.approx(0.25, rel=1e-3))
    assert finding.layers == ("rnn.weight_hh",)


def test_without_a_recurrent_layer_none_is_named() -> None:
    run = profiled(0.25)
    plain = type(RECURRENT)((RECURRENT.layers[1],))
    layers = {name: table[:, 1:] for name, table in run.frame.layers.items()}
    found = watch(replace(run, layers=plain, frame=replace(run.frame, layers=layers)))
    assert found.first(RULE).layers == ()
    assert found.first(RULE).evidence[0].layer is None


def test_reports_without_a_profile_are_passed_over() -> None:
    run = profiled(0.2)
    sparse = watch(run.without(i for i in range(80) if i % 10))
    assert sparse.of(RULE) == [(20, "opened", "error")]


def test_fewer_than_eight_time_steps_or_values_say_nothing() -> None:
    assert watch(profiled(3.0, length=7)).of(RULE) == []
    run = profiled(0.5)
    table = run.frame.profiles["time"].copy()
    table[:, 7:] = np.nan
    assert watch(replace(run, frame=replace(run.frame, profiles={"time": table}))).of(RULE) == []


def test_shorter_sequences_may_be_padded_at_either_end() -> None:
    rows = np.full((2, 12), MISSING32)
    rows[0, :10] = rows[1, 2:] = np.exp2(-np.arange(10.0))
    beta, known = backward_slope(rows)
    assert beta.tolist() == [1.0, 1.0]
    assert known.all()
    assert time_steps(rows).tolist() == [10, 12]
    assert time_steps(np.full((1, 12), MISSING32)).tolist() == [0]


@pytest.mark.parametrize("length", [8, 50, 65_536])
def test_the_slope_is_least_squares_whatever_the_length(length: int) -> None:
    rng = np.random.default_rng(length)
    bits = 100 * np.arange(length)[::-1] / length + rng.normal(0.0, 0.5, length)
    found, _ = backward_slope(np.exp2(bits)[None].astype(np.float32))
    expected = -np.polyfit(np.arange(length), bits, 1)[0]
    assert found[0] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_zeros_infinities_and_nan_do_not_count() -> None:
    table: Watched
    run = profiled(0.2)
    profile = run.frame.profiles["time"].copy()
    profile[:, ::5], profile[:, 1], profile[:, 2] = 0.0, np.inf, np.nan
    table = watch(replace(run, frame=replace(run.frame, profiles={"time": profile})))
    assert table.first(RULE).evidence[1].value == pytest.approx(0.2, rel=1e-3)
