"""underflow-risk."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING64, LayerTable
from tests.service.detect.watching import watch
from tests.streams import MLP, Scenario, steady

RULE = "underflow-risk"
ROOT = 2.0**6  # of the elements of a 64 x 64 layer


def half(bits: float, *, dtype: str = "float16", rows: slice = slice(0, 128)) -> Scenario:
    """Gradients of an rms of 2**bits in all weights of 64 x 64, in these reports; else of 1."""
    layers = LayerTable(tuple(replace(layer, dtype=dtype) for layer in MLP.layers))
    grads = np.full((128, len(MLP)), ROOT)
    grads[rows, :6] = ROOT * 2.0**bits
    return replace(steady(128), layers=layers).stat("grad_norm", grads)


def test_two_blocks_below_the_normal_numbers_are_a_warning_below_the_least_an_error() -> None:
    assert watch(half(-13.9)).of(RULE) == []
    assert watch(half(-14.1)).of(RULE) == [(31, "opened", "warning")]
    assert watch(half(-23.9)).of(RULE) == [(31, "opened", "warning")]
    assert watch(half(-24.1)).of(RULE) == [(31, "opened", "error")]
    assert watch(half(-24.1, rows=slice(16, 32))).of(RULE) == []


def test_it_ends_after_two_blocks_without() -> None:
    found = watch(half(-16.0, rows=slice(0, 48))).of(RULE)
    assert found == [(31, "opened", "warning"), (95, "cleared", "warning")]


def test_the_loss_scale_lifts_the_gradient() -> None:
    assert watch(half(-20.0).scalar("loss_scale", 2.0**7)).of(RULE) == []
    assert watch(half(-20.0).scalar("loss_scale", 2.0**5)).of(RULE) != []


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -8.0, MISSING64])
def test_a_scale_that_is_none_leaves_the_last_one(value: float) -> None:
    scale = np.full(128, value)
    scale[:2] = 2.0**7
    assert watch(half(-20.0).scalar("loss_scale", scale)).of(RULE) == []
    assert watch(half(-22.0).scalar("loss_scale", scale)).of(RULE) == [(31, "opened", "warning")]


def test_float32_is_half_precision_where_a_loss_scale_is_at_work() -> None:
    assert watch(half(-30.0, dtype="float32")).of(RULE) == []
    assert watch(half(-30.0, dtype="float32").scalar("loss_scale", 1.0)).of(RULE) == []
    scaled = half(-30.0, dtype="float32").scalar("loss_scale", 4.0)
    assert watch(scaled).of(RULE) == [(31, "opened", "error")]
    assert watch(half(-30.0, dtype="bfloat16").scalar("loss_scale", 4.0)).of(RULE) == []


def test_largest_gradients_in_steps_of_the_smallest_number_give_half_precision_away() -> None:
    steps = np.random.default_rng(1).integers(1, 9, (128, len(MLP)))
    run = half(-26.0, dtype="float32")
    assert watch(run.stat("grad_max", steps * 2.0**-24)).of(RULE) == [(31, "opened", "error")]
    assert watch(run.stat("grad_max", steps * 1.1 * 2.0**-24)).of(RULE) == []
    assert watch(run.stat("grad_max", steps * 2.0**-25)).of(RULE) == []
    assert watch(run.stat("grad_max", steps * 0.0)).of(RULE) == []
    unscaled = run.scalar("loss_scale", 1.0)
    assert watch(unscaled.stat("grad_max", steps * 2.0**-24)).of(RULE) != []


@pytest.mark.parametrize(("layers", "found"), [(1, False), (2, True)])
def test_it_takes_a_quarter_of_the_weight_layers(layers: int, found: bool) -> None:
    run = half(-20.0)
    grads = run.frame.layers["grad_norm"].copy()
    grads[:, layers:6] = ROOT
    assert bool(watch(run.stat("grad_norm", grads)).of(RULE)) is found


def test_a_layer_without_any_gradient_is_not_judged() -> None:
    assert watch(half(-np.inf)).of(RULE) == []


def test_a_net_that_has_learned_may_have_small_gradients() -> None:
    assert watch(half(-20.0).scalar("loss", 2.0**-7)).of(RULE) == []
    assert watch(half(-22.0).scalar("loss", 2.0**-7)).of(RULE) != []


def test_a_reported_rms_stands_in_for_a_norm() -> None:
    run = half(0.0)
    bare = replace(run, frame=replace(run.frame, layers={}))
    assert watch(bare.stat("grad_rms", np.full(len(MLP), 2.0**-20))).of(RULE) != []
    assert watch(bare.stat("grad_rms", np.full(len(MLP), 2.0**-12))).of(RULE) == []
    assert watch(run.stat("grad_rms", np.full(len(MLP), 2.0**-20))).of(RULE) == []


def test_the_faintest_layer_is_named_first() -> None:
    run = half(-20.0)
    grads = run.frame.layers["grad_norm"].copy()
    grads[:, 3] /= 4
    finding = watch(run.stat("grad_norm", grads)).first(RULE)
    fact = finding.evidence[0]
    assert (fact.name, fact.layer, fact.value, fact.threshold) == (RULE, "3.weight", -22.0, -14)
    assert finding.layers[0] == "3.weight"
    assert len(finding.layers) == 6
    assert fact.text.startswith("in 6 of 7 layers the gradient is too small for half precision")


def test_reports_without_layers_change_nothing() -> None:
    run = half(-20.0).without(range(16, 64), layers_only=True)
    assert watch(run).of(RULE) == [(79, "opened", "warning")]
