"""Weights that change without an update."""

from collections.abc import Iterable

import numpy as np
import pytest

from gradwatch_service.diagnose.weights import Weights
from gradwatch_service.domain import MISSING32, Layer, LayerTable, is_missing
from tests.service.diagnose.streams import Stream, healthy, mlp, tell


def attention(factor: float) -> Stream:
    """At report 200 one matrix is this many times as large, and the gradients rise with it."""
    stream = healthy(260)
    stream.stats["weight_norm"][200:, 3] *= factor
    stream.stats["update_norm"][:] = 1e-3 * stream.stats["weight_norm"][:1]
    stream.multiply_norms(200, 8.0)
    return stream


def test_weights_that_grow_by_more_than_the_updates_are_evidence() -> None:
    told = tell(attention(10.0))
    part = told.parts["weights-growing"]
    texts = [fact.text for fact in part.evidence if fact.name == "more-than-updates"]
    assert texts == ["the weights of fc3 have grown by a factor of 10 in two blocks"]


@pytest.mark.parametrize(("factor", "grown"), [(1.2, False), (1.3, True)])
def test_a_quarter_more_counts(factor: float, grown: bool) -> None:
    parts = tell(attention(factor)).parts
    assert ("weights-growing" in parts) is grown


def test_growth_that_the_updates_explain_does_not_count() -> None:
    stream = attention(10.0)
    stream.update_ratio(150, 0.2)
    assert "weights-growing" not in tell(stream).parts


def test_nothing_is_compared_before_two_blocks_or_without_weights() -> None:
    memory = tell(healthy(31)).state.history.weights
    assert len(memory.ends) == 1
    bare = healthy(60)
    del bare.stats["weight_norm"]
    assert tell(bare).state.history.weights == Weights()


@pytest.mark.parametrize("every", [2, 8])
@pytest.mark.parametrize("cuts", [(), range(0, 260, 1), range(5, 260, 7)])
def test_weights_need_not_be_measured_at_every_report(every: int, cuts: Iterable[int]) -> None:
    stream = attention(10.0)
    unmeasured = np.arange(260) % every > 0
    stream.stats["weight_norm"][unmeasured] = MISSING32
    told = tell(stream, cuts)
    texts = [
        x.text for x in told.parts["weights-growing"].evidence if x.name == "more-than-updates"
    ]
    assert texts == ["the weights of fc3 have grown by a factor of 10 in two blocks"]


def test_a_block_without_a_measurement_says_nothing_of_growth() -> None:
    stream = healthy(80)
    stream.stats["weight_norm"][1:] = MISSING32
    ends = tell(stream).state.history.weights.ends
    assert [bool(is_missing(end).all()) for end in ends] == [True] * 3


def test_only_matrices_are_compared() -> None:
    stream = attention(10.0)
    stream.layers = LayerTable(tuple(Layer(f"b{i}", "bias", i, (4,)) for i in range(6)))
    assert "weights-growing" not in tell(stream).parts


def test_layers_keep_their_norms_in_another_table() -> None:
    newer, older = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    memory = Weights((newer, older)).grown(np.array([1, -1, 0]))
    assert np.array_equal(memory.ends[1], [4, np.nan, 3], equal_nan=True)
    assert Weights().grown(np.array([0, 1])) == Weights()
    history = tell(healthy(40)).state.history.grown(LayerTable((*mlp(7).layers[6:], *mlp().layers)))
    assert [len(end) for end in history.weights.ends] == [7, 7]


def test_weights_that_grow_steadily_by_a_hundredth_are_evidence() -> None:
    stream = healthy(260)
    stream.stats["weight_norm"][:, 3] *= 1.01 ** np.maximum(np.arange(260) - 150, 0)
    stream.stats["update_norm"][:] = 1e-3 * stream.stats["weight_norm"][:1]
    stream.multiply_norms(208, 8.0)
    part = tell(stream).parts["weights-growing"]
    assert "more-than-updates" in [fact.name for fact in part.evidence]
