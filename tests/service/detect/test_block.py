"""Medians over a closed block and the signal against depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect.baseline import EMPTY
from gradwatch_service.detect.block import Block, close, keep
from gradwatch_service.detect.fixedpoint import ONE_BIT
from gradwatch_service.domain import MISSING32, Layer, LayerTable

CHAIN = LayerTable(tuple(Layer(f"fc{i}", "linear", i, (16, 16)) for i in range(5)))
NOTHING = np.full((16, 3), EMPTY, np.int32)


def block_of(layers: LayerTable, **stats: np.ndarray) -> Block:
    """A block of 16 reports, each with these values."""
    rows = {name: np.tile(values, (16, 1)).astype(np.float32) for name, values in stats.items()}
    return close([keep(NOTHING, rows)], layers)[1]


def test_segments_of_a_block_are_joined_whatever_they_carry() -> None:
    one = keep(NOTHING[:6], {"grad_norm": np.full((6, 5), 2.0, np.float32)})
    bare = keep(NOTHING[:4], {})
    other = keep(NOTHING[:6], {"act_grad_norm": np.full((6, 5), 8.0, np.float32)})
    scalars, block = close([one, bare, other], CHAIN)
    assert scalars.shape == (16, 3)
    assert sorted(block.rows) == ["act_grad_norm", "grad_norm"]
    assert (block.rows["grad_norm"] != EMPTY).sum(axis=0).tolist() == [6] * 5
    assert block.medians["grad_norm"].tolist() == [ONE_BIT] * 5
    assert block.medians["act_grad_norm"].tolist() == [3 * ONE_BIT] * 5


@pytest.mark.parametrize(("valid", "known"), [(0, False), (1, True)])
def test_one_value_is_enough_for_a_median_as_layers_may_be_sparse(valid: int, known: bool) -> None:
    table = np.full((16, 5), MISSING32)
    table[:valid], table[valid] = 4.0, np.inf
    _, block = close([keep(NOTHING, {"grad_norm": table})], CHAIN)
    assert block.medians["grad_norm"].tolist() == [2 * ONE_BIT if known else EMPTY] * 5
    assert block.rms_bits[1].tolist() == [known] * 5


def test_the_root_mean_square_is_the_norm_over_the_root_of_the_size() -> None:
    rms, known = block_of(CHAIN, grad_norm=np.full(5, 4.0)).rms_bits
    assert rms.tolist() == [-2.0] * 5
    assert known.all()
    assert not block_of(CHAIN).rms_bits[1].any()


def test_slope_and_rank_correlation_are_exact_for_a_straight_line() -> None:
    profile = block_of(CHAIN, act_grad_norm=np.exp2(-2.0 * np.arange(5))).depth_profile
    assert profile is not None
    assert (profile.slope, profile.spearman, profile.growth_bits) == (-2.0, -1.0, 8.0)
    assert (profile.source, profile.columns.tolist()) == ("act_grad_norm", [0, 1, 2, 3, 4])


def test_the_order_is_that_of_the_depth_not_of_the_columns() -> None:
    turned = LayerTable(CHAIN.layers[::-1])
    profile = block_of(turned, act_grad_norm=np.exp2(np.arange(5.0))).depth_profile
    assert profile is not None
    assert profile.columns.tolist() == [4, 3, 2, 1, 0]
    assert profile.slope == -1.0


def test_the_best_signal_there_is_comes_first() -> None:
    grads = np.exp2(np.arange(5.0))
    sources = [
        block_of(CHAIN, grad_norm=grads, bias_grad_norm=grads, act_grad_norm=grads),
        block_of(CHAIN, grad_norm=grads, bias_grad_norm=grads),
        block_of(CHAIN, grad_norm=grads),
    ]
    found = [block.depth_profile.source for block in sources if block.depth_profile]
    assert found == ["act_grad_norm", "bias_grad_norm", "grad_norm"]


def test_bias_gradients_are_per_output_and_weight_gradients_per_element() -> None:
    wide = LayerTable(tuple(Layer(f"fc{i}", "linear", i, (4**i, 16)) for i in range(5)))
    by_bias = block_of(wide, bias_grad_norm=np.exp2(np.arange(5.0))).depth_profile
    by_weight = block_of(wide, grad_norm=4 * np.exp2(np.arange(5.0))).depth_profile
    for profile in (by_bias, by_weight):
        assert profile is not None
        assert profile.signal.tolist() == [0.0] * 5


def test_layers_that_are_biases_are_preferred_to_weights() -> None:
    pairs = [Layer(f"{i}.{kind}", kind, i, (4,)) for i in range(4) for kind in ("linear", "bias")]
    table = LayerTable(tuple(pairs))
    profile = block_of(table, grad_norm=np.full(8, 2.0)).depth_profile
    assert profile is not None
    assert profile.columns.tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("kind", ["norm", "embedding", "recurrent", "head"])
def test_layers_outside_the_chain_do_not_count(kind: str) -> None:
    layers = LayerTable((*CHAIN.layers[:4], replace(CHAIN.layers[4], kind=kind)))
    profile = block_of(layers, act_grad_norm=np.ones(5)).depth_profile
    assert profile is not None
    assert profile.columns.tolist() == [0, 1, 2, 3]


def test_three_layers_are_no_profile() -> None:
    assert block_of(LayerTable(CHAIN.layers[:3]), act_grad_norm=np.ones(3)).depth_profile is None
    assert block_of(CHAIN).depth_profile is None
    assert block_of(LayerTable()).depth_profile is None


def test_kept_statistics_are_there_as_reported_and_joined_over_the_segments() -> None:
    one = keep(NOTHING[:6], {"grad_zero": np.full((6, 5), 0.5, np.float32)})
    bare = keep(NOTHING[:4], {"grad_mean": np.ones((4, 5), np.float32)})
    other = keep(NOTHING[:6], {"grad_zero": np.full((6, 5), np.inf, np.float32)})
    _, block = close([one, bare, other], CHAIN)
    values = block.values("grad_zero")
    assert values is not None
    assert np.isnan(values).sum(axis=0).tolist() == [10] * 5
    assert block.values("grad_mean") is None  # nobody asks for it
    assert block.median("moment_rms") is None


def test_the_median_of_a_kept_statistic_is_a_value_that_was_reported() -> None:
    table = np.full((16, 5), MISSING32)
    table[:4] = np.array([4.0, 1.0, 3.0, 2.0])[:, None]
    table[4], table[:, 1] = np.nan, np.inf
    median = close([keep(NOTHING, {"weight_norm": table})], CHAIN)[1].median("weight_norm")
    assert median is not None
    np.testing.assert_array_equal(median, np.float32([3.0, np.nan, 3.0, 3.0, 3.0]))


def test_kept_scalars_are_joined_over_the_segments() -> None:
    one = keep(NOTHING[:10], {}, {"loss_scale": np.arange(10.0), "lr": np.ones(10)})
    _, block = close([one, keep(NOTHING[:6], {})], CHAIN)
    scale = block.setting("loss_scale")
    assert scale is not None
    assert scale[:10].tolist() == list(range(10))
    assert np.isnan(scale[10:]).all()
    assert block.setting("lr") is None


def test_clipping_leaves_the_limit_over_the_norm_of_what_is_above_it() -> None:
    norm, clip = NOTHING.copy(), np.full(16, 2.0)
    norm[:, 0] = 3 * ONE_BIT
    norm[0, 0], norm[1, 0] = 0, EMPTY
    clip[2:5] = [np.nan, 0.0, -1.0]
    left = close([keep(norm, {}, {"clip_norm": clip})], CHAIN)[1].clipping
    assert left.tolist() == [1.0] * 5 + [0.25] * 11
    assert close([keep(norm, {})], CHAIN)[1].clipping.tolist() == [1.0]
