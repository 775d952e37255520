"""explosion-through-time."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.rules.explosion_through_time import backward_slope, time_steps
from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.detect.watching import Watched, every, watch
from tests.streams import RECURRENT, Array, Scenario, noise, steady

RULE = "explosion-through-time"


def profiled(
    beta: float, *, length: int = 50, rows: slice = slice(0, None), since: int = 32
) -> Scenario:
    """Gradients that grow by beta bits a time step on the way back, in these reports.

    The rows count from the first report with a profile, ``since``.
    """
    table = np.ones((80 + since, length), np.float32)
    table[since:][rows] = np.exp2(beta * np.arange(length)[::-1])
    table[:since] = MISSING32
    run = steady(80 + since, layers=RECURRENT)
    return replace(run, frame=replace(run.frame, profiles={"time": table}))


def test_three_profiles_in_a_row_open_it() -> None:
    assert watch(profiled(0.15)).of(RULE) == [(34, "opened", "error")]
    assert watch(profiled(0.15, rows=slice(0, 2))).of(RULE) == []


def test_later_three_are_not_enough_if_the_level_is_far_below() -> None:
    assert watch(profiled(0.15, rows=slice(10, 13))).of(RULE) == []
    # Of eight profiles the upper median is the fourth largest.
    assert watch(profiled(0.15, rows=slice(10, 14))).of(RULE)[0] == (45, "opened", "error")
    run = profiled(0.11)
    table = run.frame.profiles["time"].copy()
    table[42:45] = np.exp2(0.13 * np.arange(50)[::-1])
    near = replace(run, frame=replace(run.frame, profiles={"time": table}))
    assert watch(near).of(RULE)[0] == (44, "opened", "error")


def test_six_bits_over_the_whole_length_are_needed() -> None:
    assert watch(profiled(0.119)).of(RULE) == []
    assert watch(profiled(0.121)).of(RULE) == [(34, "opened", "error")]
    assert watch(profiled(0.2, length=29)).of(RULE) == []
    assert watch(profiled(-0.5)).of(RULE) == []


def test_eight_bits_are_critical() -> None:
    assert watch(profiled(0.161)).of(RULE) == [(34, "opened", "critical")]
    run = profiled(0.13)
    table = run.frame.profiles["time"].copy()
    table[60:] = np.exp2(0.17 * np.arange(50)[::-1])
    grows = replace(run, frame=replace(run.frame, profiles={"time": table}))
    assert watch(grows).of(RULE) == [(34, "opened", "error"), (62, "worsened", "critical")]


def test_three_bits_are_a_warning_in_the_first_32_reports() -> None:
    found = watch(profiled(0.061, since=0)).of(RULE)
    assert found == [(2, "opened", "warning"), (63, "cleared", "warning")]
    assert watch(profiled(0.059, since=0)).of(RULE) == []
    assert watch(profiled(0.061, since=30)).of(RULE) == []
    assert watch(profiled(0.121, since=0)).of(RULE) == [(2, "opened", "error")]


def test_it_ends_after_32_reports_below() -> None:
    found = watch(profiled(0.15, rows=slice(0, 20))).of(RULE)
    assert found == [(34, "opened", "error"), (83, "cleared", "error")]


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
    run = profiled(0.15)
    sparse = watch(run.without(i for i in range(112) if i % 10))
    assert sparse.of(RULE) == [(60, "opened", "error")]


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


def of_lengths(per_step: float, *, n: int = 128, summed: bool = False) -> Scenario:
    """Sequences of 10 to 60 steps in any order; the norm grows by so many bits a step of them."""
    length = np.random.default_rng(1).integers(10, 61, n).astype(float)
    unit = length if summed else np.ones(n)
    run = steady(n, layers=RECURRENT).scalar("seq_len", length)
    return run.scalar("loss", unit * noise(n, 0.05, 2)).scalar(
        "grad_norm", unit * np.exp2(per_step * length) * noise(n, 0.2, 3)
    )


def test_two_bits_from_the_shortest_to_the_longest_sequence_open_it() -> None:
    assert watch(of_lengths(0.045)).of(RULE) == [(63, "opened", "error")]
    assert watch(of_lengths(0.035)).of(RULE) == []
    assert watch(of_lengths(-0.1)).of(RULE) == []


def test_the_evidence_is_the_growth_and_the_bits_a_step() -> None:
    finding = watch(of_lengths(0.1)).first(RULE)
    growth, slope = finding.evidence
    assert (growth.name, growth.threshold, growth.layer) == (RULE, 2.0, "rnn.weight_hh")
    assert growth.value == pytest.approx(5.0, abs=0.3)
    assert "from 11 to 60 time steps" in growth.text
    assert (slope.name, slope.value) == ("time-slope", pytest.approx(0.1, abs=0.01))


def test_a_loss_that_is_summed_over_the_sequence_may_grow_with_it() -> None:
    assert watch(of_lengths(0.0, summed=True)).of(RULE) == []
    assert watch(of_lengths(0.06, summed=True)).of(RULE) != []


def test_where_the_loss_is_not_known_the_length_itself_stands_in() -> None:
    for per_step, found in ((0.0, False), (0.1, True)):
        run = of_lengths(per_step, summed=True)
        assert bool(watch(run.scalar("loss", np.nan)).of(RULE)) is found
        assert bool(watch(run.scalar("loss", -1.0)).of(RULE)) is found


def test_a_curriculum_in_which_length_and_norm_grow_with_time_says_nothing() -> None:
    n = 256
    length = np.repeat(np.arange(8, 72, 2), 8).astype(float)
    run = steady(n, layers=RECURRENT).scalar("seq_len", length)
    run = run.scalar("grad_norm", np.exp2(length / 12) * noise(n, 0.2, 4))
    assert watch(run).of(RULE) == []
    assert watch(run.scalar("seq_len", np.arange(8.0, 264.0))).of(RULE) == []


@pytest.mark.parametrize("length", [50.0, np.nan, 0.0, -5.0, np.inf, 1e30])
def test_lengths_that_do_not_vary_or_are_none_say_nothing(length: float) -> None:
    assert watch(of_lengths(0.1).scalar("seq_len", length)).of(RULE) == []
    two = np.where(np.arange(128) % 2, 10.0, 60.0)
    assert watch(of_lengths(0.1).scalar("seq_len", two)).of(RULE) == []


def test_it_goes_on_until_the_lengths_no_longer_tell_and_ends_32_reports_later() -> None:
    run = of_lengths(0.1, n=256)
    norm = run.frame.scalars["grad_norm"].copy()
    norm[96:] = noise(160, 0.2, 5)
    found = watch(run.scalar("grad_norm", norm)).of(RULE)
    assert [kind for _, kind, _ in found] == ["opened", "cleared"]
    assert 127 < found[1][0] <= 191


def test_every_way_of_cutting_gives_the_same_findings() -> None:
    run = of_lengths(0.1, n=160).without([3, 50, 51])
    profiles = {"time": np.where(np.arange(160) % 7, MISSING32, 1.0)[:, None] * np.ones((1, 20))}
    profiles["time"][100:110] = np.exp2(np.arange(20.0)[::-1])
    table = {name: rows.astype(np.float32) for name, rows in profiles.items()}
    run = replace(run, frame=replace(run.frame, profiles=table))
    whole = watch(run)
    assert whole.of(RULE)
    for step in (1, 7):
        assert repr(watch(run, every(step, run)).findings) == repr(whole.findings)


def singular(
    values: Array, *, name: str = "rnn.weight_hh", shape: tuple[int, int] = (64, 64)
) -> Scenario:
    """A run with these largest singular values of one recurrent matrix."""
    table = LayerTable((Layer(name, "recurrent", 0, shape), RECURRENT.layers[1]))
    rows = np.stack([values, np.ones(len(values))], axis=1)
    return steady(len(values), layers=table).stat("spectral_norm", rows)


def growing(until: float, over: int = 64, n: int = 256) -> Array:
    """A largest singular value of 2, and from report 96 on this much within so many reports."""
    rise = np.clip((np.arange(n) - 96) / over, 0.0, 1.0)
    return 2.0 * (until / 2.0) ** rise


def test_a_plain_recurrent_matrix_that_doubles_within_64_reports_and_exceeds_4_opens_it() -> None:
    assert watch(singular(growing(5.0))).of(RULE) == [
        (159, "opened", "error"), (223, "cleared", "error"),
    ]  # fmt: skip
    assert watch(singular(growing(3.9))).of(RULE) == []
    assert watch(singular(growing(6.0, over=128))).of(RULE) == []
    finding = watch(singular(growing(8.0))).first(RULE)
    assert (finding.ordinal, finding.layers) == (143, ("rnn.weight_hh",))
    text = finding.evidence[0].text
    assert text.startswith("the largest singular value of rnn.weight_hh is 4.76, 2.38 times that")


@pytest.mark.parametrize(
    ("name", "shape"), [("rnn.weight_ih_l0", (64, 64)), ("gru.weight_hh_l0", (192, 64))]
)
def test_gated_cells_and_input_matrices_may_have_large_singular_values(
    name: str, shape: tuple[int, int]
) -> None:
    assert watch(singular(growing(30.0), name=name, shape=shape)).of(RULE) == []


def test_singular_values_that_are_missing_or_no_numbers_hide_nothing() -> None:
    values = growing(8.0)
    values[100:112], values[130:140] = np.nan, np.inf
    assert watch(singular(values)).of(RULE)[0] == (143, "opened", "error")
