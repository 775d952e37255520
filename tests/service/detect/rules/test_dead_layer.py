"""dead-layer."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.detect.watching import watch
from tests.streams import MLP, Scenario, steady

RULE = "dead-layer"


def zeros(first: float, then: float, *, at: int = 256, column: int = 2, n: int = 384) -> Scenario:
    """Zero fraction of one layer's gradient before and from this report on; .5 in the others."""
    table = np.full((n, len(MLP)), 0.5)
    table[:at, column], table[at:, column] = first, then
    return steady(n).stat("grad_zero", table)


def silent(rows: slice, column: int = 2, n: int = 192) -> Scenario:
    """A gradient of exactly 0 in one layer in these reports."""
    table = np.full((n, len(MLP)), 0.4)
    table[rows, column] = 0.0
    return steady(n).stat("grad_norm", table)


def test_two_blocks_of_nine_tenths_zeros_open_it() -> None:
    assert watch(zeros(0.85, 0.91)).of(RULE) == [(287, "opened", "warning")]
    assert watch(zeros(0.85, 0.89)).of(RULE) == []


def test_half_is_enough_if_it_has_risen_by_a_quarter() -> None:
    assert watch(zeros(0.2, 0.51)).of(RULE) == [(287, "opened", "warning")]
    assert watch(zeros(0.2, 0.49)).of(RULE) == []
    assert watch(zeros(0.4, 0.66)).of(RULE) == [(287, "opened", "warning")]
    assert watch(zeros(0.4, 0.64)).of(RULE) == []


def test_what_has_risen_stays_an_alarm_until_it_falls() -> None:
    run = zeros(0.4, 0.75, n=640)
    assert watch(run).of(RULE) == [(287, "opened", "warning")]
    table = run.frame.layers["grad_zero"].copy()
    table[512:] = 0.6
    found = watch(run.stat("grad_zero", table)).of(RULE)
    assert found[1] == (559, "cleared", "warning")


def test_zeros_that_creep_up_or_come_early_are_those_of_a_healthy_net() -> None:
    creep = np.clip(0.2 + np.arange(640)[:, None] / 800, 0.2, 0.85)
    assert watch(steady(640).stat("grad_zero", creep)).of(RULE) == []
    assert watch(zeros(0.3, 0.8, at=40)).of(RULE) == []


def test_a_layer_of_sparse_inputs_is_dead_only_when_practically_all_is_zero() -> None:
    assert watch(zeros(0.95, 0.97)).of(RULE) == []
    assert watch(zeros(0.99, 0.99)).of(RULE) == [(31, "opened", "warning")]


def test_it_ends_after_two_blocks_without() -> None:
    run = zeros(0.4, 0.95)
    table = run.frame.layers["grad_zero"].copy()
    table[304:] = 0.5
    found = watch(run.stat("grad_zero", table)).of(RULE)
    assert found == [(271, "opened", "warning"), (351, "cleared", "warning")]


def test_16_gradients_of_zero_open_it_once_there_had_been_some() -> None:
    assert watch(silent(slice(64, 192))).of(RULE) == [(79, "opened", "warning")]
    assert watch(silent(slice(0, 192))).of(RULE) == []
    assert watch(silent(slice(0, 64))).of(RULE) == []


def test_a_layer_most_batches_leave_out_may_stay_silent() -> None:
    table = np.full((192, len(MLP)), 0.4)
    table[:, 2] = 0.0
    table[:64:4, 2] = 0.4
    assert watch(steady(192).stat("grad_norm", table)).of(RULE) == []


def test_a_report_in_which_nothing_has_a_gradient_was_skipped() -> None:
    table = np.full((192, len(MLP)), 0.4)
    table[64:128] = 0.0
    run = steady(192).stat("grad_norm", table)
    share = np.where(table == 0.0, 1.0, 0.5)
    assert watch(run).of(RULE) == []
    assert watch(run.stat("grad_zero", share)).of(RULE) == []
    accumulating = table.copy()
    accumulating[:, :] = 0.4 * (np.arange(192) % 4 == 3)[:, None]
    assert watch(steady(192).stat("grad_norm", accumulating)).of(RULE) == []


@pytest.mark.parametrize(
    "layer",
    [
        Layer("wte", "embedding", 2, (64, 64)),
        Layer("tok_emb", "", 2, (64, 64)),
        Layer("moe.1", "expert", 2, (64, 64)),
        Layer("moe.Experts.1.weight", "linear", 2, (64, 64)),
        Layer("ln", "norm", 2, (64,)),
        Layer("fc.bias", "", 2, (64,)),
    ],
)
def test_layers_that_batches_leave_out_biases_and_norms_are_not_judged(layer: Layer) -> None:
    table = LayerTable((*MLP.layers[:2], layer, *MLP.layers[3:]))
    assert watch(replace(zeros(0.4, 1.0), layers=table)).of(RULE) == []
    assert watch(replace(silent(slice(64, 192)), layers=table)).of(RULE) == []


def test_what_is_seldom_measured_is_judged_by_what_was() -> None:
    seldom = [i for i in range(192) if i % 8]
    assert watch(steady(192).without(seldom, layers_only=True)).of(RULE) == []
    run = silent(slice(64, 192)).without(seldom, layers_only=True)
    assert watch(run).of(RULE) == [(191, "opened", "warning")]
    share = zeros(0.4, 0.95).without([i for i in range(384) if i % 8], layers_only=True)
    assert watch(share).of(RULE) == [(271, "opened", "warning")]


@pytest.mark.parametrize("value", [np.nan, np.inf, MISSING32])
def test_what_is_no_number_counts_neither_way(value: float) -> None:
    run = zeros(0.4, 0.95)
    table = run.frame.layers["grad_zero"].copy()
    table[256:282, 2] = value  # a block and a half
    assert watch(run.stat("grad_zero", table)).of(RULE) == [(287, "opened", "warning")]
    table[256:, 2] = value
    assert watch(run.stat("grad_zero", table)).of(RULE) == []


def test_the_deadest_layer_is_named_first() -> None:
    run = zeros(0.4, 0.8)
    table = run.frame.layers["grad_zero"].copy()
    table[256:, 4] = 0.85
    finding = watch(run.stat("grad_zero", table)).first(RULE)
    fact = finding.evidence[0]
    assert (fact.name, fact.layer, fact.value, fact.threshold) == (
        RULE,
        "4.weight",
        pytest.approx(0.85),
        0.5,
    )
    assert finding.layers == ("4.weight", "2.weight")
    assert fact.text == "4.weight: 85% of its gradient is zero; 2 of 8 layers are dead or dying"
    alone = watch(zeros(0.4, 0.8)).first(RULE).evidence[0].text
    assert alone == "2.weight: 80% of its gradient is zero; 1 of 8 layers are dead or dying"


def test_layers_that_join_later_are_judged_from_then_on() -> None:
    run = silent(slice(128, 192))
    layers = {name: rows.copy() for name, rows in run.frame.layers.items()}
    for rows in layers.values():
        rows[:64, 2] = MISSING32
    assert watch(replace(run, frame=replace(run.frame, layers=layers))).of(RULE) == [
        (143, "opened", "warning")
    ]


def test_a_net_half_of_whose_layers_get_nothing_for_6_reports_is_dead() -> None:
    weights = [i for i, layer in enumerate(MLP.layers) if layer.name.endswith("weight")]
    run, table = steady(192), np.full((192, len(MLP)), 0.4)
    table[100:, weights[: len(weights) // 2 + 1]] = 0.0
    found = watch(run.stat("grad_norm", table))
    assert found.of(RULE)[0] == (105, "opened", "error")
    dead, fact = found.first(RULE).evidence
    assert "have got no gradient at all for 6 reports" in dead.text
    assert fact.name == "dead-net"
    table[105] = 0.4
    assert watch(run.stat("grad_norm", table)).of(RULE)[0] == (111, "opened", "error")


def test_layers_that_take_turns_are_not_dead() -> None:
    weights = [i for i, layer in enumerate(MLP.layers) if layer.name.endswith("weight")]
    table = np.full((192, len(MLP)), 0.4)
    for row in range(192):  # a critic is trained five times, then the generator once
        half = len(weights) // 2
        table[row, weights[half:] if row % 6 == 5 else weights[:half]] = 0.0
    assert watch(steady(192).stat("grad_norm", table)).of(RULE) == []
