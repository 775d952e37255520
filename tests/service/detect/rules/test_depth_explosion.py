"""depth-explosion."""

import numpy as np
import pytest

from gradwatch_service.domain import Layer, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, steady

CHAIN = LayerTable(tuple(Layer(f"fc{i}", "linear", i, (64, 64)) for i in range(8)))


def profile(bits: float, *, rows: slice = slice(0, None), n: int = 160) -> Scenario:
    """A signal that grows by this many bits from each layer to the one before."""
    signal = np.ones((n, 8))
    signal[rows] = np.exp2(-bits * np.arange(8))
    return steady(n, layers=CHAIN).stat("act_grad_norm", signal)


@pytest.mark.parametrize(
    ("bits", "severity"), [(6.2 / 7, "warning"), (9.9 / 7, "warning"), (10.1 / 7, "error")]
)
def test_two_blocks_of_growth_over_the_depth_open_it(bits: float, severity: str) -> None:
    assert watch(profile(bits)).of("depth-explosion") == [(31, "opened", severity)]


def test_less_than_70_times_over_all_layers_is_normal() -> None:
    assert watch(profile(6.1 / 7)).of("depth-explosion") == []
    assert watch(profile(-2.0)).of("depth-explosion") == []


def test_one_block_is_not_enough_and_two_without_end_it() -> None:
    assert watch(profile(2.0, rows=slice(32, 48))).of("depth-explosion") == []
    found = watch(profile(2.0, rows=slice(32, 64))).of("depth-explosion")
    assert found == [(63, "opened", "error"), (79 + 32, "cleared", "error")]


def test_a_single_outlying_layer_is_no_trend() -> None:
    signal = np.ones(8)
    signal[0] = 2.0**40
    found = watch(steady(64, layers=CHAIN).stat("act_grad_norm", signal))
    assert found.of("depth-explosion") == []


def test_the_evidence_tells_the_growth_between_which_layers() -> None:
    finding = watch(profile(2.0)).first("depth-explosion")
    fact = finding.evidence[0]
    assert (fact.value, fact.threshold, fact.layer) == (14.0, 6.13, "fc0")
    assert "grows by 1.64e+04 from fc7 back to fc0 (2.00 bits a layer over 8 layers)" in fact.text
    assert finding.layers == tuple(f"fc{i}" for i in range(8))


def test_blocks_without_a_profile_are_passed_over() -> None:
    run = profile(2.0, n=64)
    found: Watched = watch(run.without(range(16, 32)))
    assert found.of("depth-explosion") == [(47, "opened", "error")]
