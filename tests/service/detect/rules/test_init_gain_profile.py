"""init-gain-profile."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.rules.init_gain_profile import chain, gain_bits
from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, steady

RULE = "init-gain-profile"


def net(activation: str = "relu", depth: int = 10, width: int = 32, **facts: object) -> LayerTable:
    plain = Layer("", "linear", shape=(width, width), activation=activation)
    layers = [replace(plain, name=f"fc{i}", depth=i, **facts) for i in range(depth)]
    return LayerTable(tuple(layers))


def weights(table: LayerTable, bits: float, *, n: int = 64) -> Scenario:
    """Weights whose gain is this many bits a layer above the critical ReLU initialisation."""
    run = steady(n, layers=table)
    return run.stat("weight_norm", np.full(len(table), np.sqrt(2 * 32) * 2.0**bits))


@pytest.mark.parametrize(
    ("bits", "severity"), [(0.62, "warning"), (0.99, "warning"), (1.01, "error")]
)
def test_the_gains_of_all_layers_add_up(bits: float, severity: str) -> None:
    found = watch(weights(net(), bits)).of(RULE)
    assert found == [(0, "opened", severity), (32, "cleared", severity)]


@pytest.mark.parametrize("bits", [-1.0, 0.0, 0.6])
def test_a_critical_initialisation_is_fine(bits: float) -> None:
    assert watch(weights(net(), bits)).of(RULE) == []


def test_twice_the_critical_gain_in_ten_layers_is_ten_bits() -> None:
    finding = watch(weights(net(), 1.0)).first(RULE)
    fact = finding.evidence[0]
    assert fact.value == pytest.approx(10.0)
    assert "by 1.02e+03 over 10 layers (10.0 bits" in fact.text


def test_a_gain_that_no_float_can_hold_is_told_in_bits() -> None:
    fact = watch(weights(net(), 110.0)).first(RULE).evidence[0]
    assert "by inf over 10 layers (1100.0 bits" in fact.text


@pytest.mark.parametrize(
    ("activation", "c"),
    [("ReLU", 2**-0.5), ("tanh", 1.0), ("gelu", 0.675), ("silu", 0.616), ("unheard-of", 2**-0.5)],
)
def test_each_activation_has_its_own_critical_gain(activation: str, c: float) -> None:
    table = net(activation)
    gains = gain_bits(table, chain(table), np.full(10, np.sqrt(32) / c))
    assert gains[0] == pytest.approx(np.zeros(10), abs=1e-12)


def test_forward_and_backward_count_outputs_and_inputs() -> None:
    table = LayerTable(
        tuple(Layer(f"{i}", "linear", i, (16, 64), activation="tanh") for i in range(3))
    )
    gains = gain_bits(table, chain(table), np.full(3, 8.0))
    assert gains.tolist() == [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]


def test_the_layer_that_amplifies_most_is_named_first() -> None:
    run = weights(net(), 1.0)
    norms = run.frame.layers["weight_norm"].copy()
    norms[:, 4] *= 8
    finding = watch(run.stat("weight_norm", norms)).first(RULE)
    assert finding.layers[0] == finding.evidence[0].layer == "fc4"


@pytest.mark.parametrize(
    "facts", [{"normalised": True}, {"residual": True}, {"kind": "norm"}, {"shape": (32,)}]
)
def test_only_plain_weight_layers_make_a_chain(facts: dict[str, object]) -> None:
    table = net(**facts)
    assert len(chain(table)) == 0
    assert watch(weights(table, 3.0)).of(RULE) == []


def test_the_chain_is_in_order_of_depth() -> None:
    backwards = LayerTable(net().layers[::-1])
    assert chain(backwards).tolist() == list(range(9, -1, -1))


def test_it_waits_for_the_first_weight_norms_but_not_beyond_32_reports() -> None:
    def late(rows: int) -> Watched:
        run = weights(net(), 2.0)
        norms = run.frame.layers["weight_norm"].copy()
        norms[:rows] = MISSING32
        return watch(replace(run, frame=replace(run.frame, layers={"weight_norm": norms})))

    assert late(5).of(RULE)[0] == (5, "opened", "error")
    assert late(32).of(RULE) == []


@pytest.mark.parametrize(("step", "found"), [(1, True), (32, True), (33, False), (5000, False)])
def test_weights_that_have_been_trained_before_are_not_initial(step: int, found: bool) -> None:
    run = weights(net(), 2.0)
    later = replace(run, frame=replace(run.frame, steps=run.frame.steps + step))
    assert bool(watch(later).of(RULE)) is found


def test_what_the_first_report_lacks_is_left_out() -> None:
    run = weights(net(), 1.25)
    norms = run.frame.layers["weight_norm"].copy()
    norms[0, 1:4], norms[0, 4] = np.nan, 0.0
    finding = watch(run.stat("weight_norm", norms)).first(RULE)
    assert finding.evidence[0].value == pytest.approx(7.5)
    norms[0, 2:] = np.nan
    assert watch(run.stat("weight_norm", norms)).first(RULE).ordinal == 1


def test_it_is_judged_once() -> None:
    run = weights(net(), 0.0)
    norms = run.frame.layers["weight_norm"].copy()
    norms[10:] *= 4
    assert watch(run.stat("weight_norm", norms)).of(RULE) == []
