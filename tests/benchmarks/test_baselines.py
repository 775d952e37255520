"""The baselines of the detection benchmark: what each sees, and where its original is blind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.detection.baselines import catalogue
from benchmarks.detection.baselines.baseline import Baseline, Signals
from benchmarks.detection.recording import Stream
from numpy.typing import NDArray

from gradwatch_service.domain import MISSING64, JsonValue

Array = NDArray[np.float64]
BASELINES = {baseline.name: baseline for baseline in catalogue()}
LAYERS: tuple[Mapping[str, JsonValue], ...] = (
    {"name": "in", "kind": "linear", "shape": [8, 8]},
    {"name": "bias", "kind": "bias", "shape": [8]},
    {"name": "out", "kind": "head", "shape": [4, 8]},
)
N = 400


def calm(n: int = N) -> Signals:
    """Loss 1, falling by 1 % a step at first; norm 1, both with a small regular wave."""
    wave = 1 + 0.05 * np.sin(np.arange(n))
    loss = np.maximum(0.99 ** np.arange(n), 0.1) * wave
    ones = np.ones((n, len(LAYERS)), np.float32)
    stats = {
        "grad_norm": ones,
        "grad_zero": 0 * ones,
        "update_norm": np.float32(1e-3) * ones,
        "weight_norm": ones,
    }
    scalars = {"loss": loss, "grad_norm": wave, "lr": np.full(n, 1e-3)}
    return Signals(Stream("rank-0", np.arange(n), np.arange(float(n)), scalars, stats), LAYERS)


def scalar(signals: Signals, name: str, rows: slice | int, value: float) -> Signals:
    values = signals.stream.scalars[name].copy()
    values[rows] = value
    scalars = {**signals.stream.scalars, name: values}
    return replace(signals, stream=replace(signals.stream, scalars=scalars))


def stat(
    signals: Signals, name: str, rows: slice | int, value: float, layer: int | slice = slice(None)
) -> Signals:
    table = signals.stream.stats[name].copy()
    table[rows, layer] = value
    stats = {**signals.stream.stats, name: table}
    return replace(signals, stream=replace(signals.stream, stats=stats))


def fires(name: str, signals: Signals, threshold: float | None = None) -> list[int]:
    baseline = BASELINES[name]
    used = threshold if threshold is not None else (baseline.published or 0.0)
    return [int(row) for row in baseline.alarms(signals, used)]


@pytest.mark.parametrize("baseline", catalogue(), ids=lambda baseline: baseline.name)
def test_every_baseline_takes_any_numbers_and_gets_calmer_with_its_threshold(
    baseline: Baseline,
) -> None:
    rng = np.random.default_rng(1)
    signals = calm()
    wild = np.exp(3 * rng.standard_t(2, N))
    wild[[50, 130, 131]] = np.nan, np.inf, MISSING64
    for name in ("loss", "grad_norm"):
        signals = scalar(signals, name, slice(None), wild)  # type: ignore[arg-type]
    found = [
        set(baseline.alarms(signals, factor * (baseline.published or 1.0)))
        for factor in (0.5, 1.0, 64.0)
    ]
    assert len(found[2]) <= len(found[1]) <= len(found[0])
    assert all(0 <= row < N for row in found[0])
    assert not len(baseline.alarms(calm(0), 1.0))


@pytest.mark.parametrize("name", sorted(BASELINES.keys() - {"trainpulse 0.4.0"}))
def test_a_calm_run_is_calm(name: str) -> None:
    late = [row for row in fires(name, calm()) if row > 100]
    assert late == [] or name == "SageMaker Debugger's rules"  # every stall of ten steps


def test_nan_only_sees_nan_and_infinity_but_not_what_was_not_measured() -> None:
    signals = scalar(scalar(calm(), "loss", 7, np.nan), "grad_norm", 9, np.inf)
    assert fires("NaN only", scalar(signals, "loss", 20, MISSING64)) == [7, 9]


def test_a_fixed_norm_sees_values_and_is_blind_to_nan() -> None:
    signals = scalar(scalar(calm(), "grad_norm", 5, 11.0), "grad_norm", 6, np.nan)
    assert fires("norm > 10", scalar(signals, "grad_norm", 8, 101.0)) == [5, 8]
    assert fires("norm > 100", scalar(signals, "grad_norm", 8, 101.0)) == [8]


def test_zclip_sees_a_spike_after_its_warm_up_and_nothing_after_a_nan() -> None:
    spiked = scalar(scalar(calm(), "grad_norm", 10, 9.0), "grad_norm", 300, 9.0)
    assert 300 in fires("ZClip 2.5 sigma", spiked)
    assert 10 not in fires("ZClip 2.5 sigma", spiked)
    assert fires("ZClip 2.5 sigma", scalar(spiked, "grad_norm", 60, np.nan), 2.5) == []


def test_zclip_takes_in_the_clipped_norm() -> None:
    level = scalar(calm(), "grad_norm", slice(200, None), 9.0)
    late = [row for row in fires("ZClip 2.5 sigma", level) if row >= 200]
    assert late[:20] == list(range(200, 220))


def test_olmo_core_skips_for_as_long_as_a_nan_is_in_its_window() -> None:
    assert fires("OLMo-core 6 sigma", scalar(calm(), "loss", 250, np.nan)) == list(range(250, 379))


def test_olmo_core_sees_both_ways_from_its_64th_step() -> None:
    signals = scalar(scalar(calm(), "grad_norm", 62, 9.0), "grad_norm", 63, 90.0)
    assert fires("OLMo-core 6 sigma", signals)[0] == 63
    assert fires("OLMo-core 6 sigma", scalar(calm(), "grad_norm", 300, 0.0)) == [300]


def test_kill_loss_spike_wants_five_in_a_row() -> None:
    signals = calm()
    four = scalar(signals, "loss", slice(300, 304), 1.0)
    assert fires("llm-foundry KillLossSpike", four) == []
    six = scalar(signals, "loss", slice(300, 306), 1.0)
    assert fires("llm-foundry KillLossSpike", six) == [304, 305]


def test_kill_loss_spike_is_off_for_a_window_after_a_nan() -> None:
    signals = scalar(calm(), "loss", slice(300, 306), 1.0)
    assert fires("llm-foundry KillLossSpike", scalar(signals, "loss", 250, np.nan)) == []


def test_kill_loss_spike_caps_the_loss_from_step_200() -> None:
    high = scalar(calm(), "loss", slice(0, 120), 11.0)
    assert fires("llm-foundry KillLossSpike", high) == []
    assert fires("llm-foundry KillLossSpike", scalar(calm(), "loss", slice(None), 11.0))[0] == 200


def test_megatron_compares_with_the_first_hundred() -> None:
    signals = scalar(scalar(calm(), "grad_norm", 50, 3.0), "grad_norm", 60, np.nan)
    signals = scalar(scalar(signals, "grad_norm", 200, 29.9), "grad_norm", 201, 30.0)
    assert fires("Megatron 10x", signals) == [60, 201]
    assert fires("Megatron 10x", scalar(calm(), "loss", 99, 900.0)) == []


def test_autotrainer_compares_the_first_weights_with_the_last() -> None:
    signals = stat(calm(), "grad_norm", 30, 71.0, 0)
    signals = stat(signals, "grad_norm", 31, 1e-5, 0)
    signals = stat(signals, "grad_norm", 32, 500.0, 1)  # a bias
    signals = stat(signals, "grad_norm", 33, np.nan, 2)
    signals = stat(signals, "grad_zero", 34, 0.75)
    assert fires("AutoTrainer 70x", signals) == [30, 31, 33, 34]
    faint = stat(signals, "grad_norm", 31, 5e-4, 0)
    assert fires("AutoTrainer 70x", faint) == [30, 33, 34]


def test_sagemaker_has_five_rules() -> None:
    falling = scalar(calm(), "loss", slice(None), 0.99 ** np.arange(N))  # type: ignore[arg-type]
    assert fires("SageMaker Debugger's rules", falling) == []
    signals = stat(falling, "grad_norm", 31, np.inf, 0)
    signals = stat(signals, "grad_norm", 32, 1e-8, 2)
    signals = stat(signals, "update_norm", 33, 10.5, 0)
    signals = stat(signals, "weight_norm", 5, 30.0, 0)
    assert fires("SageMaker Debugger's rules", signals) == [5, 31, 32, 33]
    stalled = scalar(falling, "loss", slice(100, 110), falling.stream.scalars["loss"][100])
    assert fires("SageMaker Debugger's rules", scalar(stalled, "loss", 110, 0.367)) == []
    assert fires("SageMaker Debugger's rules", scalar(falling, "loss", 200, 0.2)) == [200]
    flat = scalar(falling, "loss", slice(195, 201), falling.stream.scalars["loss"][190])
    assert fires("SageMaker Debugger's rules", flat) == [200]


def test_trainpulse_is_the_package_itself() -> None:
    signals = scalar(calm(), "grad_norm", 20, 101.0)
    signals = scalar(scalar(signals, "lr", 30, 0.5), "loss", 60, 40.0)
    assert fires("trainpulse 0.4.0", signals)[:5] == [20, 30, 31, 60, 356]
