"""The relative size of an update."""

from __future__ import annotations

import numpy as np
import pytest

from gradwatch_service.detect.update_ratio import median_update_ratio, typical
from gradwatch_service.domain import MISSING32, Layer, LayerTable, is_missing


def table(*layers: tuple[str, str, tuple[int, ...]]) -> LayerTable:
    return LayerTable(
        tuple(Layer(name, kind, i, shape) for i, (name, kind, shape) in enumerate(layers))
    )


FIVE = table(*((f"w{i}", "linear", (32, 32)) for i in range(5)))


def ratio(layers: LayerTable, update: list[float], weight: list[float]) -> float:
    stats = {
        "update_norm": np.array([update], np.float32),
        "weight_norm": np.array([weight], np.float32),
    }
    return float(np.asarray(median_update_ratio(stats, layers)).reshape(-1)[0])


def test_it_is_the_median_over_the_layers() -> None:
    assert ratio(FIVE, [1, 2, 3, 4, 50], [10] * 5) == pytest.approx(0.3)


def test_of_an_even_number_it_is_the_lower_middle_one() -> None:
    assert ratio(FIVE, [1, 2, 3, np.nan, 4], [10] * 5) == pytest.approx(0.2)


def test_layers_that_did_not_move_or_are_not_numbers_do_not_count() -> None:
    assert ratio(FIVE, [0, 0, 0, 7, 0], [10] * 5) == pytest.approx(0.7)
    assert ratio(FIVE, [1, 1, 1, 7, np.inf], [np.nan, np.inf, float(MISSING32), 10, 10]) == (
        pytest.approx(0.7)
    )
    assert is_missing(np.array([ratio(FIVE, [0] * 5, [10] * 5)]))[0]


def test_weights_near_zero_are_taken_as_a_thousandth_an_element() -> None:
    assert ratio(FIVE, [0.032] * 5, [1e-6] * 5) == pytest.approx(1.0)


def test_weights_that_are_all_zeros_do_not_count() -> None:
    assert ratio(FIVE, [0.032] * 5, [0.0, 0.0, 0.0, 8.0, 0.0]) == pytest.approx(0.004)


def test_large_weights_are_typical_not_biases_norms_embeddings_heads() -> None:
    layers = table(
        ("emb", "embedding", (64, 64)),
        ("fc", "linear", (32, 32)),
        ("fc.bias", "linear", (2048,)),
        ("ln", "norm", (2048,)),
        ("b", "bias", (2048,)),
        ("small", "linear", (31, 32)),
        ("unknown", "", ()),
        ("head", "head", (64, 64)),
    )
    assert typical(layers).tolist() == [1, 6]


def test_a_net_with_small_weights_only_is_judged_by_all_of_them() -> None:
    layers = table(("a", "linear", (8, 4)), ("a.bias", "bias", (8,)), ("out", "head", (1, 8)))
    assert typical(layers).tolist() == [0, 2]


@pytest.mark.parametrize("layers", [LayerTable(), table(("b", "bias", (8,)))])
def test_without_weights_there_is_none(layers: LayerTable) -> None:
    size = [1.0] * len(layers)
    assert np.isnan(ratio(layers, size, size))


def test_without_either_statistic_there_is_none() -> None:
    some = {"update_norm": np.ones((1, 5), np.float32)}
    assert np.isnan(median_update_ratio(some, FIVE))
    assert np.isnan(median_update_ratio({}, FIVE))
