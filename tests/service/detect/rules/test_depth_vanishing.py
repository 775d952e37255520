"""depth-vanishing."""

import numpy as np
import pytest

from gradwatch_service.domain import Layer, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import steady

CHAIN = LayerTable(tuple(Layer(f"fc{i}", "linear", i, (64, 64)) for i in range(8)))


def faded(bits: float, *, scale: float = 1.0, rows: slice = slice(0, None)) -> Watched:
    """Gradients that shrink by this many bits from each layer to the one before."""
    grad = np.full((160, 8), 1.0)
    grad[rows] = 64 * scale * np.exp2(bits * (np.arange(8) - 7))  # rms 1 in the last layer
    return watch(steady(160, layers=CHAIN).stat("grad_norm", grad))


def test_ten_bits_over_the_depth_matter_if_the_first_layer_starves() -> None:
    assert faded(2.0).of("depth-vanishing") == []  # 2**-14 of the last, 2**-6 of the median
    assert faded(1.5, scale=1e-4).of("depth-vanishing") == [(31, "opened", "warning")]
    assert faded(3.4).of("depth-vanishing") == [(31, "opened", "warning")]


def test_small_gradients_alone_are_not_enough() -> None:
    assert faded(1.4, scale=1e-6).of("depth-vanishing") == []


def test_it_ends_after_two_blocks_without() -> None:
    found = faded(4.0, rows=slice(32, 64)).of("depth-vanishing")
    assert found == [(47, "opened", "warning"), (79 + 32, "cleared", "warning")]


def test_the_evidence_names_the_first_layer_and_its_gradient() -> None:
    fact = faded(4.0).first("depth-vanishing").evidence[0]
    assert (fact.value, fact.threshold, fact.layer) == (28.0, 10.0, "fc0")
    assert "whose gradient rms is 3.7e-09 (median layer 2.4e-04)" in fact.text


def test_where_the_gradients_size_is_unknown_it_is_silent() -> None:
    signal = np.exp2(5.0 * np.arange(8))
    run = steady(64, layers=CHAIN).stat("act_grad_norm", signal)
    grads = np.full((64, 8), np.nan)
    assert watch(run.stat("grad_norm", grads)).of("depth-vanishing") == []


@pytest.mark.parametrize("kind", ["norm", "embedding", "recurrent", "head"])
def test_layers_outside_the_chain_do_not_count(kind: str) -> None:
    odd = LayerTable(tuple(Layer(f"x{i}", kind, i, (64, 64)) for i in range(8)))
    run = steady(64, layers=odd).stat("grad_norm", np.exp2(4.0 * np.arange(8) - 40))
    assert watch(run).of("depth-vanishing") == []
