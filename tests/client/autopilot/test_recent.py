from __future__ import annotations

import math

import numpy as np
import pytest

from gradwatch.autopilot.recent import Recent, typical
from gradwatch.layers import Layer
from gradwatch.records import Measured
from gradwatch.values import missing32
from gradwatch_service.detect import update_ratio
from gradwatch_service.domain import Layer as ServiceLayer
from gradwatch_service.domain import LayerTable

LAYERS = [
    Layer("emb.weight", "embedding", 0, (100, 64)),
    Layer("rnn.weight_hh", "recurrent", 1, (64, 64)),
    Layer("mlp.weight", "linear", 2, (64, 32)),
    Layer("mlp.bias", "bias", 2, (32,)),
    Layer("norm.weight", "norm", 3, (4096,)),
    Layer("head.weight", "head", 4, (100, 64)),
]
COLUMNS = np.arange(len(LAYERS))


def report(step: int, scalars: dict[str, float], **arrays: list[float]) -> Measured:
    stats = {name: np.array(values, np.float32) for name, values in arrays.items()}
    return Measured(step, float(step), scalars, COLUMNS, stats)


def test_the_median_is_that_of_the_last_sixteen_reports() -> None:
    recent = Recent(LAYERS)
    for step in range(40):
        recent.add(report(step, {"loss": float(step)}))
    assert recent.median("loss") == 32.0
    assert recent.median("grad_norm") is None


def test_a_nan_counts_as_infinite() -> None:
    recent = Recent(LAYERS)
    for value in (math.nan, 1.0, math.nan, 2.0):
        recent.add(report(0, {"loss": value}))
    assert recent.median("loss") == math.inf


def test_typical_layers_and_update_ratio_are_those_of_the_service() -> None:
    random = np.random.default_rng(3)
    table = LayerTable(tuple(ServiceLayer(x.name, x.kind, x.depth, x.shape) for x in LAYERS))
    assert typical(LAYERS) == update_ratio.typical(table).tolist() == [1, 2]
    for step in range(20):
        update = random.lognormal(-3, 1, len(LAYERS)) * (random.random(len(LAYERS)) > 0.2)
        weight = random.lognormal(0, 2, len(LAYERS)) * (random.random(len(LAYERS)) > 0.2)
        arrays = {"update_norm": update.tolist(), "weight_norm": weight.tolist()}
        measured = report(step, {}, **arrays)
        recent = Recent(LAYERS)
        recent.add(measured)
        rows = {name: values[None] for name, values in measured.arrays.items()}
        theirs = float(np.ravel(update_ratio.median_update_ratio(rows, table))[0])
        ours = recent.median("update_ratio")
        assert (math.isnan(theirs) and ours is None) or ours == pytest.approx(theirs, rel=1e-6)


def test_a_net_without_large_layers_has_all_its_weights() -> None:
    assert typical([LAYERS[0], LAYERS[3], LAYERS[4]]) == [0]


def test_what_was_not_measured_has_no_ratio() -> None:
    recent = Recent(LAYERS)
    recent.add(report(0, {}, weight_norm=[1.0] * 6))
    recent.add(report(1, {}, weight_norm=[1.0] * 6, update_norm=missing32(6).tolist()))
    assert recent.median("update_ratio") is None
