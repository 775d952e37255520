"""vanishing-absolute."""

import numpy as np
import pytest

from gradwatch_service.domain import Layer, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import steady

RULE = "vanishing-absolute"
CHAIN = LayerTable(tuple(Layer(f"fc{i}", "linear", i, (100, 100)) for i in range(4)))


def faint(
    layers: int, rms: float = 0.9e-7, *, loss: float = 1.0, rows: slice = slice(0, None)
) -> Watched:
    """The gradient rms of the first of four layers, in these reports."""
    grads = np.full((160, 4), 1.0)
    grads[rows, :layers] = 100 * rms
    return watch(steady(160, layers=CHAIN).stat("grad_norm", grads).scalar("loss", loss))


@pytest.mark.parametrize(("layers", "expected"), [(1, []), (2, [(31, "opened", "warning")])])
def test_half_of_the_layers_in_two_blocks_open_it(layers: int, expected: list[object]) -> None:
    assert faint(layers).of(RULE) == expected


def test_a_gradient_just_large_enough_is_fine() -> None:
    assert faint(4, 1.01e-7).of(RULE) == []


def test_one_block_is_not_enough_and_two_without_end_it() -> None:
    assert faint(2, rows=slice(32, 48)).of(RULE) == []
    found = faint(2, rows=slice(32, 64)).of(RULE)
    assert found == [(63, "opened", "warning"), (79 + 32, "cleared", "warning")]


def test_gradients_may_vanish_with_the_loss() -> None:
    assert faint(4, 1e-9, loss=1e-3).of(RULE) == []
    assert faint(4, 1e-9, loss=1.0).of(RULE) != []
    # A large loss does not raise the limit, a negative one says nothing.
    assert faint(4, 1e-6, loss=1e3).of(RULE) == []
    assert faint(4, 1e-9, loss=-1e-3).of(RULE) != []


def test_zero_gradients_count() -> None:
    assert faint(2, 0.0).of(RULE) == [(31, "opened", "warning")]


def test_only_measured_layers_count() -> None:
    grads = np.full((64, 4), 1.0)
    grads[:, 0], grads[:, 1:3] = 1e-9, np.nan
    run = steady(64, layers=CHAIN).stat("grad_norm", grads)
    assert watch(run).of(RULE) == [(31, "opened", "warning")]


def test_the_evidence_is_the_share_and_the_faintest_layer() -> None:
    finding = faint(3, 1e-8).first(RULE)
    fact = finding.evidence[0]
    assert (fact.value, fact.threshold, fact.layer) == (0.75, 0.5, "fc0")
    assert fact.text == ("3 of 4 layers have a gradient rms below 1e-07; faintest fc0 with 1.0e-08")
    assert finding.layers == ("fc0", "fc1", "fc2")
