"""layer-spike."""

import numpy as np
import pytest

from gradwatch_service.detect.baseline import Baseline
from gradwatch_service.detect.rules.layer_spike import excess
from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.detect.watching import every, watch
from tests.streams import MLP, Scenario, noise, steady

RULE = "layer-spike"
WIDE = LayerTable(
    (
        Layer("wte", "embedding", 0, (64, 64)),
        *(Layer(f"{i}", "linear", i, (64, 64)) for i in range(1, 22)),
        Layer("out", "head", 22, (64, 64)),
        Layer("out.bias", "bias", 22, (64,)),
    )
)


def raised(
    rows: object, bits: float, *, columns: object = 2, n: int = 240, layers: LayerTable = WIDE
) -> Scenario:
    """Steady gradients, 2**bits larger in these columns of these reports."""
    table = np.full((n, len(layers)), 0.25)
    table[rows, columns] *= 2.0**bits
    return steady(n, layers=layers).stat("grad_norm", table)


def test_three_of_eight_gradients_far_out_open_it() -> None:
    found = watch(raised(slice(160, 166), 2.2)).of(RULE)
    assert found == [(162, "opened", "warning"), (188, "cleared", "warning")]
    assert watch(raised([160, 163, 167], 2.2)).of(RULE)[0] == (167, "opened", "warning")
    assert watch(raised([160, 164, 168], 2.2)).of(RULE) == []
    assert watch(raised([160, 161], 2.2)).of(RULE) == []


def test_two_bits_are_needed_however_quiet_the_layer() -> None:
    assert watch(raised(slice(160, 170), 1.99)).of(RULE) == []
    assert watch(raised(slice(160, 170), 2.01)).of(RULE) != []


def test_a_rise_that_most_layers_share_is_not_that_of_a_layer() -> None:
    assert watch(raised(slice(160, 170), 6.0, columns=slice(0, 24))).of(RULE) == []
    assert watch(raised(slice(160, 170), 6.0, columns=slice(0, 13))).of(RULE) == []
    assert watch(raised(slice(160, 170), 6.0, columns=slice(0, 12))).of(RULE) != []


def test_the_layer_that_rises_more_than_the_others_is_found_among_them() -> None:
    run = raised(slice(160, 170), 3.0, columns=slice(0, 24))
    table = run.frame.layers["grad_norm"].copy()
    table[160:170, 5] *= 8
    assert watch(run.stat("grad_norm", table)).first(RULE).layers == ("5",)


def test_a_single_spike_of_an_embedding_or_head_is_information() -> None:
    for column in (0, 22):
        found = watch(raised([160], 4.0, columns=column)).of(RULE)
        assert found == [(160, "opened", "info"), (183, "cleared", "info")]
    assert watch(raised([160], 4.0, columns=23)).of(RULE) == []


def test_half_of_the_sum_of_squares_makes_it_an_error() -> None:
    # 23 layers at 1 and one at 2**bits.
    assert watch(raised(slice(160, 170), 2.25)).of(RULE)[0] == (162, "opened", "warning")
    assert watch(raised(slice(160, 170), 2.27)).of(RULE)[0] == (162, "opened", "error")


def test_of_many_layers_one_must_be_further_out() -> None:
    layers = LayerTable(tuple(Layer(f"{i}", "linear", i, (8, 8)) for i in range(64)))
    few = watch(raised(slice(160, 170), 4.0, layers=MLP)).first(RULE)
    many = watch(raised(slice(160, 170), 4.0, layers=layers)).first(RULE)
    assert (few.evidence[0].threshold, many.evidence[0].threshold) == (6.0, 7.0)


def test_after_an_announced_change_it_is_information() -> None:
    lr = np.where(np.arange(240) < 150, 1e-3, 3e-3)
    run = raised(slice(160, 170), 4.0).scalar("lr", lr)
    assert watch(run).of(RULE)[0] == (162, "opened", "info")


def test_the_first_mover_is_named_first_and_how_much_it_weighs() -> None:
    run = raised(slice(160, 170), 2.2, columns=4)
    table = run.frame.layers["grad_norm"].copy()
    table[163:170, 1] *= 2.0**9
    watched = watch(run.stat("grad_norm", table))
    first, worse = (x for x in watched.findings if x.rule == RULE and x.kind != "cleared")
    assert first.layers == ("4",)
    assert (worse.ordinal, worse.severity.label, worse.layers) == (165, "error", ("4", "1"))
    spike, share = first.evidence
    assert (spike.name, spike.layer, spike.value) == (RULE, "4", pytest.approx(55, rel=0.01))
    assert (share.name, share.value) == ("gradient-share", pytest.approx(0.479, rel=1e-3))
    assert "of 4 and of 1 more leaves its range" in worse.evidence[0].text


def test_a_layer_with_heavy_tails_sets_its_own_limit() -> None:
    tail = noise(1600, 0.3, 5, tail=3.0)
    table = np.full((1600, len(MLP)), 0.25)
    table[:, 2] *= tail
    assert watch(steady(1600).stat("grad_norm", table)).of(RULE) == []


def test_layers_that_most_batches_leave_out_are_not_judged() -> None:
    table = np.full((400, len(MLP)), 0.25)
    table[:, 2] = np.where(np.random.default_rng(1).random(400) < 0.3, 0.25, 0.0)
    assert watch(steady(400).stat("grad_norm", table)).of(RULE) == []


def test_gradients_that_were_not_measured_are_passed_over() -> None:
    run = raised(slice(160, 176), 2.2).without([i for i in range(240) if i % 3])
    assert watch(run).of(RULE)[0] == (168, "opened", "warning")
    few = raised(slice(160, 166), 2.2).without(range(166, 240), layers_only=True)
    assert watch(few).of(RULE) == [(162, "opened", "warning")]


@pytest.mark.parametrize("value", [np.nan, np.inf, MISSING32])
def test_bad_values_do_not_hide_a_spike_of_another_layer(value: float) -> None:
    run = raised(slice(160, 170), 4.0)
    table = run.frame.layers["grad_norm"].copy()
    table[100:, 5] = value
    table[40:60] = value
    assert watch(run.stat("grad_norm", table)).of(RULE)[0][:2] == (162, "opened")


def test_a_net_of_one_layer_has_no_neighbours_to_differ_from() -> None:
    single = LayerTable((Layer("only", "linear", 0, (8, 8)),))
    assert watch(raised(slice(160, 170), 6.0, columns=0, layers=single)).of(RULE) == []


def test_every_way_of_cutting_gives_the_same_findings() -> None:
    run = raised(slice(160, 166), 4.0).without([161, 163], layers_only=True)
    whole = watch(run)
    assert repr(watch(run, every(1, run)).findings) == repr(whole.findings)
    assert repr(watch(run, every(7, run)).findings) == repr(whole.findings)


def test_the_common_part_is_the_lower_median_of_the_rises_if_that_is_positive() -> None:
    usual = Baseline.empty(4).absorb(np.full((32, 4), 1000, np.int32))
    y = np.array([[1000, 2000, 3000, 9000], [1000, 500, 400, 300]], np.int32)
    ok = np.ones((2, 4), np.bool_)
    assert excess(y, ok, usual).tolist() == [[-1000, 0, 1000, 7000], [0, -500, -600, -700]]
    ok[0, 1] = False
    assert excess(y, ok, usual)[0].tolist() == [-2000, 0, 0, 6000]
    assert excess(y, ~np.ones((2, 4), np.bool_), usual).tolist() == [[0] * 4] * 2
