"""overflow-headroom."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, LayerTable
from tests.service.detect.watching import watch
from tests.streams import MLP, Scenario, steady

RULE = "overflow-headroom"


def with_dtype(dtype: str, n: int = 80) -> Scenario:
    layers = LayerTable(tuple(replace(layer, dtype=dtype) for layer in MLP.layers))
    return replace(steady(n), layers=layers)


def peaked(dtype: str, bits: float, *, rows: slice = slice(40, 80), scale: float = 1.0) -> Scenario:
    """Largest gradients of 2**bits in layer 2, in these reports."""
    largest = np.full((80, len(MLP)), 1e-3)
    largest[rows, 2] = 2.0**bits
    return with_dtype(dtype).stat("grad_max", largest).scalar("loss_scale", scale)


@pytest.mark.parametrize(
    ("dtype", "limit"), [("float16", 15.9993), ("bfloat16", 128.0), ("float32", 128.0)]
)
def test_three_bits_are_a_warning_and_one_an_error(dtype: str, limit: float) -> None:
    assert watch(peaked(dtype, limit - 3.01)).of(RULE) == []
    assert watch(peaked(dtype, limit - 2.99)).of(RULE) == [(40, "opened", "warning")]
    assert watch(peaked(dtype, limit - 0.99)).of(RULE) == [(40, "opened", "error")]


def test_the_loss_scale_takes_from_the_headroom() -> None:
    assert watch(peaked("float16", 2.0, scale=2.0**10)).of(RULE) == []
    assert watch(peaked("float16", 2.0, scale=2.0**12)).of(RULE) == [(40, "opened", "warning")]


@pytest.mark.parametrize("scale", [0.0, -4.0, np.inf, np.nan])
def test_a_loss_scale_that_is_none_is_ignored(scale: float) -> None:
    assert watch(peaked("float16", 12.0, scale=scale)).of(RULE) == []


def test_it_ends_after_32_reports_with_more_than_four_bits() -> None:
    found = watch(peaked("float16", 15.5, rows=slice(0, 20))).of(RULE)
    assert found == [(0, "opened", "error"), (51, "cleared", "error")]
    table = peaked("float16", 15.5, rows=slice(0, 20)).frame.layers["grad_max"].copy()
    table[20:, 2] = 2.0**12.5
    assert len(watch(with_dtype("float16").stat("grad_max", table)).of(RULE)) == 1


def test_the_layer_nearest_its_limit_is_named() -> None:
    finding = watch(peaked("float16", 14.9993)).first(RULE)
    fact = finding.evidence[0]
    assert finding.layers == (fact.layer,) == ("2.weight",)
    assert fact.value == pytest.approx(1.0, abs=1e-3)
    assert fact.text == "the gradient of 2.weight is 1.0 bits (a factor 2) below overflow"


def test_without_the_largest_element_the_norm_stands_in() -> None:
    # Of 4,096 equal elements the norm is 64 times each of them.
    grads = np.full((80, len(MLP)), 1e-3)
    grads[40:, 2] = 2.0 ** (13.5 + 6)
    assert watch(with_dtype("float16").stat("grad_norm", grads)).of(RULE) == [
        (40, "opened", "warning")
    ]


def test_a_float32_norm_overflows_at_two_to_the_64() -> None:
    norm = np.ones(80)
    norm[40:] = 2.0**61.5
    bare = steady(80, layers=LayerTable()).scalar("grad_norm", norm)
    assert watch(bare).of(RULE) == [(40, "opened", "warning")]
    fact = watch(bare).first(RULE).evidence[0]
    assert (fact.layer, fact.value) == (None, 2.5)
    beyond = watch(bare.scalar("grad_norm", norm * 8)).first(RULE).evidence[0]
    assert beyond.text == "the global gradient norm is 0.5 bits (a factor 1.41) beyond overflow"


def test_float64_has_room_for_far_more() -> None:
    run = with_dtype("float64").scalar("grad_norm", np.full(80, 2.0**300))
    assert watch(run).of(RULE) == []
    assert watch(run.scalar("grad_norm", 2.0**510)).of(RULE)[0] == (0, "opened", "warning")


def test_reports_without_layers_end_nothing() -> None:
    run = peaked("float16", 15.5, rows=slice(0, 1))
    sparse = run.without(range(1, 80), layers_only=True)
    assert watch(sparse).of(RULE) == [(0, "opened", "error")]


def test_a_largest_element_that_was_not_measured_leaves_the_norm() -> None:
    run = peaked("float16", 15.5)
    table = run.frame.layers["grad_max"].copy()
    table[40:, 2] = MISSING32
    layers = {**run.frame.layers, "grad_max": table}
    assert watch(replace(run, frame=replace(run.frame, layers=layers))).of(RULE) == []
