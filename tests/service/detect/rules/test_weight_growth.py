"""weight-growth."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.weight_norms import norm_at_gain_1
from gradwatch_service.domain import MISSING32, Layer, LayerTable
from tests.service.detect.watching import watch
from tests.streams import MLP, Array, Scenario, steady

RULE = "weight-growth"
N = 1200


def weighing(norm: Array, *, column: int = 2, layers: LayerTable = MLP) -> Scenario:
    """This norm of one layer's weights; 8, a gain of 1, in all others."""
    table = np.full((len(norm), len(layers)), 8.0)
    table[:, column] = norm
    return steady(len(norm), layers=layers).stat("weight_norm", table)


def doubling(
    every: float, start: int = 0, until: int = 9999, first: float = 8.0, n: int = N
) -> Array:
    return first * np.exp2((np.clip(np.arange(n), start, until) - start) / every)


def test_four_times_the_first_value_and_doubling_opens_it() -> None:
    # Looks are at 15, 143, … (medians of the 16 reports before): at 1039 it is 2 bits up.
    assert watch(weighing(doubling(500.0))).of(RULE)[0] == (1039, "opened", "warning")
    assert watch(weighing(doubling(100.0))).of(RULE)[0] == (271, "opened", "warning")


@pytest.mark.parametrize(("every", "found"), [(890.0, True), (905.0, False)])
def test_doubling_within_896_reports_is_needed(every: float, found: bool) -> None:
    norm = doubling(every, start=1000, first=32.0, n=2000)
    norm[:16] = 8.0
    assert bool(watch(weighing(norm)).of(RULE)) is found


def test_four_times_the_first_value_is_needed() -> None:
    assert watch(weighing(doubling(100.0, until=198))).of(RULE) == []
    assert watch(weighing(doubling(126.0, until=300))).of(RULE) != []


def all_growing(
    every: float, start: int = 0, until: int = 9999, *, alike: bool = False
) -> Scenario:
    """The median layer doubles in so many reports; half of the others at half its pace."""
    growth = doubling(every, start, until)
    pace = np.ones(len(MLP)) if alike else np.array([0.5, 0.5, 0.5, 1, 1, 1, 1, 1])
    return steady(N).stat("weight_norm", growth[:, None] ** pace)


def test_most_layers_doubling_within_180_reports_are_an_error_at_once() -> None:
    found = watch(all_growing(170.0, 500, 700)).of(RULE)
    assert found == [(543, "opened", "error"), (847, "cleared", "error")]
    assert watch(all_growing(190.0, 500, 600)).of(RULE) == []
    assert watch(all_growing(390.0, 500, 600, alike=True)).of(RULE)[0] == (559, "opened", "error")
    assert watch(all_growing(420.0, 500, 600, alike=True)).of(RULE) == []
    assert watch(all_growing(100.0)).of(RULE)[0] == (271, "opened", "error")


def test_fewer_than_half_of_the_layers_are_not_most() -> None:
    run = all_growing(100.0, 500, 600)
    table = run.frame.layers["weight_norm"].copy()
    table[:, :3] = 8.0
    assert watch(run.stat("weight_norm", table)).of(RULE) != []
    table[:, :4] = 8.0
    assert watch(run.stat("weight_norm", table)).of(RULE) == []


def test_growth_that_slows_down_is_that_of_a_young_run() -> None:
    slowing = 8.0 * np.exp2(6.0 * (1 - np.exp(-np.arange(N) / 150)))
    run = steady(N).stat("weight_norm", np.repeat(slowing[:, None], len(MLP), axis=1))
    assert watch(run).of(RULE) == []


def test_where_the_loss_falls_all_weights_may_grow() -> None:
    run = all_growing(100.0, 500, 600)
    assert watch(run.scalar("loss", np.exp2(-np.arange(N) / 100))).of(RULE) == []
    assert watch(run.scalar("loss", np.exp2(np.arange(N) / 100))).of(RULE) != []
    assert watch(run.scalar("loss", np.nan)).of(RULE) != []


def test_after_an_announced_change_weights_may_move() -> None:
    lr = np.where(np.arange(N) < 500, 1e-3, 4e-3)
    assert watch(all_growing(100.0, 500, 550).scalar("lr", lr)).of(RULE) == []


def test_it_ends_when_the_weights_settle() -> None:
    found = watch(weighing(doubling(100.0, 300, 700))).of(RULE)
    assert found == [(527, "opened", "warning"), (1039, "cleared", "warning")]


def test_weights_that_have_settled_by_the_look_were_learning() -> None:
    assert watch(weighing(doubling(20.0, 20, 80))).of(RULE) == []


def test_small_weights_may_grow_as_long_as_they_do_not_amplify() -> None:
    assert watch(weighing(doubling(150.0, 0, 450, first=1.0))).of(RULE) == []
    assert watch(weighing(doubling(150.0, 0, 750, first=1.0))).of(RULE) != []


@pytest.mark.parametrize(("first", "found"), [(63e-4, False), (65e-4, True), (0.0, False)])
def test_layers_that_began_at_practically_nothing_are_not_judged(first: float, found: bool) -> None:
    norm = np.maximum(doubling(60.0, 0, 1500, first=1e-3), first)
    norm[:16] = first
    assert bool(watch(weighing(norm)).of(RULE)) is found


@pytest.mark.parametrize("layer", [Layer("b", "bias", 2, (64,)), Layer("n", "norm", 2, (64,))])
def test_biases_and_normalisation_are_not_judged(layer: Layer) -> None:
    table = LayerTable((*MLP.layers[:2], layer, *MLP.layers[3:]))
    assert watch(weighing(doubling(100.0), layers=table)).of(RULE) == []


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        (Layer("a", "linear", shape=(16, 64)), 4.0),
        (Layer("a", "conv", shape=(16, 8, 3, 3)), 4.0),
        (Layer("a", "embedding", shape=(100, 64)), 80.0),
        (Layer("a", "recurrent", shape=(256, 64)), 16.0),
        (Layer("a", ""), 1.0),
    ],
)
def test_the_norm_that_neither_amplifies_nor_dampens_depends_on_the_shape(
    layer: Layer, norm: float
) -> None:
    assert np.exp2(norm_at_gain_1(LayerTable((layer,)))[0] / 2**14) == pytest.approx(norm, 1e-3)


def test_the_layer_that_has_grown_most_is_named_first() -> None:
    run = weighing(doubling(150.0))
    table = run.frame.layers["weight_norm"].copy()
    table[:, 4] = doubling(100.0)
    finding = watch(run.stat("weight_norm", table)).first(RULE)
    fact = finding.evidence[0]
    assert (fact.name, fact.layer, fact.threshold) == (RULE, "4.weight", 1.0)
    assert fact.value == pytest.approx(2.56, rel=0.01)
    assert finding.layers == ("4.weight",)
    later = watch(weighing(doubling(100.0))).first(RULE).evidence[0].text
    assert later.startswith("the weights of 2.weight have grown by 5.9 within 896 reports")


@pytest.mark.parametrize("value", [np.nan, np.inf, MISSING32, 0.0])
def test_bad_values_hide_nothing(value: float) -> None:
    run = weighing(doubling(500.0))
    table = run.frame.layers["weight_norm"].copy()
    table[600:1000, 2] = value
    assert watch(run.stat("weight_norm", table)).of(RULE)[0][0] <= 1295


def test_layers_that_are_measured_seldom_or_join_later_are_judged_as_well() -> None:
    run = weighing(doubling(100.0))
    sparse = run.without([i for i in range(N) if i % 10], layers_only=True)
    assert watch(sparse).of(RULE)[0] == (271, "opened", "warning")
    table = run.frame.layers["weight_norm"].copy()
    table[:500, 2] = MISSING32
    frame = replace(run.frame, layers={"weight_norm": table})
    assert watch(replace(run, frame=frame)).of(RULE)[0] == (783, "opened", "warning")
