"""Named histories in which single layers do something: part of ``tests.scenarios``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from gradwatch_service.domain import Layer, LayerTable
from tests.streams import MLP, RECURRENT, Scenario, level, noise, training

EMBEDDED = LayerTable((Layer("wte", "embedding", 0, (64, 64)), *MLP.layers[1:]))
EXPERTS = LayerTable((*MLP.layers[:2], Layer("moe.experts.0", "expert", 2), *MLP.layers[3:]))


def _with_layer(run: Scenario, name: str, column: int, factor: np.ndarray) -> Scenario:
    """One layer's statistic times this factor."""
    table = run.frame.layers[name].astype(np.float64)
    table[:, column] *= factor
    return run.stat(name, table)


def _measured(seed: int, n: int = 480, layers: LayerTable = MLP) -> Scenario:
    """An ordinary run of a ReLU net with every statistic: half of the gradient is zeros."""
    run, rng = training(n, layers=layers, seed=seed), np.random.default_rng(seed)
    shape = (n, len(layers))
    return (
        run.stat("grad_rms", run.frame.layers["grad_norm"] / np.sqrt(layers.numel))
        .stat("grad_mean", rng.normal(0.0, 1e-5, shape))
        .stat("grad_zero", np.clip(rng.normal(0.5, 0.05, shape), 0.0, 1.0))
        .stat("grad_nonfinite", np.zeros(shape))
        .stat("weight_nonfinite", np.zeros(shape))
        .stat("moment_rms", np.exp2(rng.normal(0.0, 0.3, shape)))
        .stat("spectral_norm", np.full(shape, 1.5))
        .stat("attention_logit_max", 20 * np.exp2(rng.normal(0.0, 0.3, shape)))
    )


def _single_samples() -> Scenario:
    """Batches of one: three quarters zeros, and now and then a unit that had been dead."""
    run, rng = _measured(50), np.random.default_rng(50)
    shape = (len(run), len(MLP))
    revived = np.where(rng.random(shape) < 0.3, 100.0, 1.0)
    zeros = np.clip(rng.normal(0.78, 0.04, shape), 0.0, 1.0)
    return run.stat("grad_zero", zeros).stat("moment_rms", revived)


def _rare_rows() -> Scenario:
    """An embedding of which a batch reaches a fiftieth of the rows, often none of them."""
    run, rng = _measured(51, layers=EMBEDDED), np.random.default_rng(51)
    hit = np.where(rng.random(480) < 0.6, noise(480, 1.5, 51), 0.0)
    run = _with_layer(run, "grad_norm", 0, hit)
    run = _with_layer(run, "moment_rms", 0, 5 * noise(480, 0.5, 52))
    share = np.full((480, 8), 0.5)
    share[:, 0] = np.where(hit > 0, 0.98, 1.0)
    return run.stat("grad_zero", share)


def _experts() -> Scenario:
    run, rng = _measured(53, layers=EXPERTS), np.random.default_rng(53)
    chosen = np.where(np.arange(480) < 200, 1.0, rng.random(480) < 0.02)
    return _with_layer(run, "grad_norm", 2, chosen)


def _frozen() -> Scenario:
    run = _measured(54)
    for name in ("grad_norm", "grad_max", "update_norm", "grad_rms"):
        run = _with_layer(run, name, 1, np.zeros(480))
    share = run.frame.layers["grad_zero"].copy()
    share[:, 1] = 1.0
    return _with_layer(run.stat("grad_zero", share), "moment_rms", 1, np.zeros(480))


def _summed_over_lengths() -> Scenario:
    length = np.random.default_rng(55).integers(8, 129, 480).astype(float)
    run = training(layers=RECURRENT, seed=55).scaled(length / 32).scalar("seq_len", length)
    return run.scalar("loss", run.frame.scalars["loss"] * length)


def _curriculum() -> Scenario:
    length = np.round(np.linspace(8, 96, 480))
    run = training(layers=RECURRENT, seed=56).scaled(np.sqrt(length / 8))
    return run.scalar("seq_len", length)


def _gated() -> Scenario:
    cell = LayerTable((Layer("gru.weight_hh_l0", "recurrent", 0, (192, 64)), RECURRENT.layers[1]))
    run = training(layers=cell, seed=57)
    return run.stat("spectral_norm", np.stack([np.linspace(1.5, 15.0, 480), np.ones(480)], axis=1))


def _small_weights() -> Scenario:
    """Weights that begin small and grow 8-fold; others that begin at 0."""
    run, grown = _measured(58, 1200), np.minimum(1 + np.arange(1200) / 100, 8.0)
    run = _with_layer(run, "weight_norm", 2, 0.1 * grown)
    return _with_layer(run, "weight_norm", 3, 0.3 * (grown - 1))


def _pure_half() -> Scenario:
    layers = LayerTable(tuple(replace(layer, dtype="float16") for layer in MLP.layers))
    scale = np.exp2(10.0 + np.arange(480) // 200)
    return replace(_measured(59), layers=layers).scalar("loss_scale", scale)


HEALTHY: Mapping[str, Callable[[], Scenario]] = {
    "every statistic": lambda: _measured(49),
    "batch of 1": _single_samples,
    "rare rows": _rare_rows,
    "experts": _experts,
    "frozen layer": _frozen,
    "loss summed over lengths": _summed_over_lengths,
    "curriculum of lengths": _curriculum,
    "gated cell": _gated,
    "small initial weights": _small_weights,
    "half precision with a scale": _pure_half,
}


def _underflowing() -> Scenario:
    layers = LayerTable(tuple(replace(layer, dtype="float16") for layer in MLP.layers))
    run = training(seed=60).scaled(level(480, 300, -10.0, 40))
    return replace(run, layers=layers, onset=300)


def _dying() -> Scenario:
    run = _measured(61)
    share = run.frame.layers["grad_zero"].copy()
    share[300:, 2] = 0.97
    return replace(run.stat("grad_zero", share), onset=300)


def _silenced() -> Scenario:
    alive = (np.arange(480) < 300).astype(float)
    return replace(_with_layer(training(seed=62), "grad_norm", 3, alive), onset=300)


def _surging_embedding() -> Scenario:
    run = training(layers=EMBEDDED, seed=63)
    return replace(_with_layer(run, "grad_norm", 0, level(480, 300, 5.0)), onset=300)


def _lagging_moment() -> Scenario:
    return replace(_with_layer(_measured(64), "moment_rms", 2, level(480, 300, 4.0)), onset=300)


def _swelling_weights() -> Scenario:
    growth = np.exp2(np.maximum(np.arange(600) - 299, 0) / 40)
    return replace(_with_layer(training(600, seed=65), "weight_norm", 2, growth), onset=300)


def _saturating_attention() -> Scenario:
    run, steps = training(seed=66), np.maximum(np.arange(480) - 299, 0)
    logit = 30 * np.minimum(np.exp2(steps / 10), 400.0) * noise(480, 0.1, 66)
    return replace(run.scalar("attention_logit_max", logit), onset=300)


def _growth_with_length() -> Scenario:
    length = np.random.default_rng(67).integers(8, 65, 480).astype(float)
    run = training(layers=RECURRENT, seed=67).scalar("seq_len", length)
    return run.scaled(np.exp2(0.08 * (length - 8)))


FAULTY: Mapping[str, Callable[[], Scenario]] = {
    "underflowing": _underflowing,
    "dying units": _dying,
    "silenced layer": _silenced,
    "surging embedding": _surging_embedding,
    "lagging moment": _lagging_moment,
    "swelling weights": _swelling_weights,
    "saturating attention": _saturating_attention,
    "growth with length": _growth_with_length,
}
