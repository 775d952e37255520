"""The same reports give bit-identical results however they are cut into frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradwatch_service.detect import engine
from gradwatch_service.domain import MISSING32, MISSING64, Frame, Layer, LayerTable
from tests.reliability.counts import times
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.service.detect.watching import Watched, every, watch
from tests.streams import MLP, RECURRENT, Scenario, cut, steady, training

MIXED = LayerTable(
    (
        Layer("wte", "embedding", 0, (64, 64), dtype="float16"),
        *(replace(layer, dtype="float16") for layer in MLP.layers[1:6]),
        Layer("rnn.weight_hh", "recurrent", 6, (32, 32)),
        MLP.layers[7],
    )
)
OF_LAYERS = {
    "adam-moment-lag", "attention-logit", "dead-layer", "explosion-through-time", "layer-spike",
    "non-finite", "overflow-headroom", "underflow-risk", "vanishing-absolute",
}  # fmt: skip

NAMES = [*FAULTY, *HEALTHY]
SCALARS = (
    "loss", "grad_norm", "lr", "clip_norm", "loss_scale", "found_inf", "batch_size", "seq_len",
    "step_seconds", "local_grad_norm", "attention_logit_max",
)  # fmt: skip
STATS = (
    "grad_norm", "grad_max", "grad_mean", "grad_rms", "grad_nonfinite", "grad_zero", "weight_norm",
    "update_norm", "bias_grad_norm", "act_grad_norm", "moment_rms", "spectral_norm",
    "attention_logit_max", "weight_nonfinite",
)  # fmt: skip
VALUES = (np.nan, np.inf, -np.inf, None, 0.0, -1.0, 0.95, 3.0, 2e4, 1e30)


def assert_identical(one: Watched, other: Watched) -> None:
    assert repr(one.findings) == repr(other.findings)
    assert repr(one.state.episodes) == repr(other.state.episodes)
    for track in ("norm", "loss", "ratio", "layer"):
        for field in ("y", "ok", "bad", "z"):
            np.testing.assert_array_equal(one.column(track, field), other.column(track, field))
    for before, after in zip(_baselines(one), _baselines(other), strict=True):
        np.testing.assert_array_equal(before, after)


def _baselines(watched: Watched) -> list[np.ndarray]:
    base = watched.state.substrate
    return [
        *(getattr(base.scalars, name) for name in ("ring", "seen", "median", "scale")),
        *(getattr(base.layer, name) for name in ("ring", "seen", "median", "scale")),
        *(getattr(base.longterm, name) for name in ("medians", "maxima", "slow", "limit")),
        *(past.y for past in base.pasts),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_is_judged_alike_in_tens_and_at_once(name: str) -> None:
    run = scenario(name)
    assert_identical(watch(run), watch(run, every(10, run)))


@pytest.mark.parametrize("name", [*FAULTY, "negative loss", "layers every 10th report"])
def test_pushing_every_report_by_itself_makes_no_difference(name: str) -> None:
    run = scenario(name)
    assert_identical(watch(run), watch(run, every(1, run)))


@st.composite
def tampered(draw: st.DrawFn, names: Sequence[str] = NAMES) -> Scenario:
    """A scenario in which random values at random places are bad, missing, zero or negative."""
    run = scenario(draw(st.sampled_from(names)))
    scalars = {name: values.copy() for name, values in run.frame.scalars.items()}
    layers = {name: values.copy() for name, values in run.frame.layers.items()}
    profiles = {name: values.copy() for name, values in run.frame.profiles.items()}
    for _ in range(draw(st.integers(0, 12))):
        start = draw(st.integers(0, len(run) - 1))
        rows = slice(start, start + draw(st.integers(1, 80)))
        value = draw(st.sampled_from(VALUES))
        name = draw(st.sampled_from(sorted({*scalars, *layers, *profiles, *SCALARS, *STATS})))
        if name in SCALARS and name not in scalars:
            scalars[name] = np.full(len(run), MISSING64)
        if name in STATS and name not in layers:
            layers[name] = np.full((len(run), len(run.layers)), MISSING32)
        for columns in (scalars, layers, profiles):
            if name in columns:
                missing = MISSING64 if columns is scalars else MISSING32
                _strike(columns[name], rows, missing if value is None else value, draw)
    return replace(run, frame=replace(run.frame, scalars=scalars, layers=layers, profiles=profiles))


def _strike(values: np.ndarray, rows: slice, value: float, draw: st.DrawFn) -> None:
    if values.ndim == 2 and values.shape[1] and draw(st.booleans()):
        values[rows, draw(st.integers(0, values.shape[1] - 1))] = value
    else:
        values[rows] = value


def everything(seed: int, n: int = 320) -> Scenario:
    """Every scalar, statistic and profile there is, at random, with stretches far out of range."""
    rng = np.random.default_rng(seed)
    run = replace(training(n, seed=seed), layers=MIXED)
    for name in SCALARS:
        usual = run.frame.scalars.get(name, np.full(n, 1.0))
        run = run.scalar(name, _stirred(rng, usual[:, None], MISSING64)[:, 0])
    for name in STATS:
        usual = run.frame.layers.get(name, np.full((n, len(MIXED)), 0.5))
        run = run.stat(name, _stirred(rng, usual, MISSING32))
    time = np.exp2(rng.normal(0.0, 1.0, (n, 20)) + rng.choice([0.0, 0.5], (n, 1)) * np.arange(20))
    profile = _stirred(rng, time, MISSING32).astype(np.float32)
    return replace(run, frame=replace(run.frame, profiles={"time": profile}))


def _stirred(rng: np.random.Generator, usual: np.ndarray, missing: float) -> np.ndarray:
    """With noise, three stretches of another level, and bad or missing values here and there."""
    values = usual * np.exp2(rng.normal(0.0, 0.5, usual.shape))
    for start in rng.integers(0, len(values), 3):
        columns = rng.random(values.shape[1]) < rng.choice([0.2, 1.0])
        values[start : start + 90, columns] *= rng.choice([1e-9, 0.0, 8.0, 3e4, 1e12])
    bad = rng.random(values.shape)
    for share, value in ((0.01, np.nan), (0.02, np.inf), (0.03, 0.0), (0.1, missing)):
        values[bad < share] = np.where(values == value, values, value)[bad < share]
        bad[bad < share] = 1.0
    return values


@pytest.mark.parametrize("seed", range(4))
def test_streams_of_everything_are_judged_alike_one_by_one_in_tens_and_at_random(seed: int) -> None:
    run, rng = everything(seed), np.random.default_rng(seed)
    whole = watch(run)
    assert_identical(whole, watch(run, every(1, run)))
    assert_identical(whole, watch(run, every(10, run)))
    assert_identical(whole, watch(run, sorted(rng.choice(len(run), 40, replace=False)[1:])))


def test_streams_of_everything_make_the_rules_of_layers_speak() -> None:
    spoken = {x.rule for seed in range(4) for x in watch(everything(seed)).findings}
    assert spoken >= OF_LAYERS


@settings(max_examples=times(25, 60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tampered(), st.lists(st.integers(1, 959), max_size=60))
def test_random_values_in_random_batches_are_judged_alike(run: Scenario, cuts: list[int]) -> None:
    at = sorted({place for place in cuts if place < len(run)})
    assert_identical(watch(run), watch(run, at))


@pytest.mark.parametrize("seed", range(6))
def test_jumps_at_the_end_of_what_is_remembered_are_judged_alike(seed: int) -> None:
    """Spikes count for 1,024 reports; afterwards jumps of loss and norm by a little over noise."""
    rng = np.random.default_rng(seed)
    loss, norm = np.exp2(rng.normal(0.0, 0.3, (2, 1400)))
    first = rng.integers(100, 340)
    jumps = first + 1024 + rng.choice(np.arange(-30, 30), 10, replace=False)
    loss[jumps], norm[jumps] = np.exp2(rng.uniform(1.3, 2.0, (2, 10)))
    loss[first] = norm[first] = 2.0**6
    run = steady(1400).scalar("loss", loss).scalar("grad_norm", norm)
    whole = watch(run)
    assert_identical(whole, watch(run, every(1, run)))
    assert_identical(whole, watch(run, every(10, run)))


def test_frames_of_all_other_tables_keep_each_layers_baseline() -> None:
    """One push may carry any of the layers: the steps route makes a table a push."""
    run = training(192)
    whole = watch(run)
    state, found = engine.init(LayerTable()), []
    for place, frame in enumerate(cut(run.frame, list(range(1, 192)))):
        # Half of the pushes have the layers in reverse order.
        order = slice(None, None, -1 if place % 2 else 1)
        table = LayerTable(MLP.layers[order])
        turned = {name: np.ascontiguousarray(rows[:, order]) for name, rows in frame.layers.items()}
        state, seen = engine.update(state, replace(frame, layers=turned), table)
        found += seen
    assert state.substrate.layers == MLP
    np.testing.assert_array_equal(state.substrate.layer.ring, whole.state.substrate.layer.ring)
    z = np.concatenate([seen.view.layer.z for seen in found])
    np.testing.assert_array_equal(z, whole.column("layer", "z"))


def test_a_table_that_grows_within_a_block_adds_columns_and_loses_none() -> None:
    run = training(160)
    small = LayerTable(MLP.layers[:3])
    state = engine.init(small)
    for index, frame in enumerate(cut(run.frame, [37])):
        table = small if index == 0 else MLP
        layers = {name: rows[:, : len(table)] for name, rows in frame.layers.items()}
        state, _ = engine.update(state, replace(frame, layers=layers), table)
    assert state.substrate.layers.names == MLP.names
    assert state.substrate.layer.seen.tolist() == [160] * 3 + [123] * 5
    whole = watch(run).state.substrate.layer
    np.testing.assert_array_equal(state.substrate.layer.ring[:3], whole.ring[:3])


def test_a_layer_that_stays_away_keeps_its_place_and_its_baseline() -> None:
    run = training(64)
    state, _ = engine.update(engine.init(MLP), run.frame, MLP)
    rows = run.frame.layers["grad_norm"][:, :2]
    part = Frame(run.frame.steps, run.frame.time, layers={"grad_norm": rows})
    after, seen = engine.update(state, part, LayerTable(MLP.layers[:2]))
    assert seen[0].view.layers.names == MLP.names
    assert seen[0].view.layer.ok[0].tolist() == [True] * 2 + [False] * 6
    assert after.substrate.layer.seen.tolist() == [128] * 2 + [64] * 6


def test_a_frame_without_layers_does_not_forget_them() -> None:
    run = training(64)
    state, _ = engine.update(engine.init(MLP), run.frame, MLP)
    bare = replace(run.frame, layers={}, layers_hash="")
    after, _ = engine.update(state, bare, LayerTable())
    assert after.substrate.layers is MLP
    assert after.substrate.layer is state.substrate.layer


def test_the_unit_of_a_negative_loss_does_not_depend_on_what_follows_in_the_frame() -> None:
    run = training(64, layers=RECURRENT)
    loss = run.frame.scalars["loss"].copy()
    loss[20:] = -1.0
    loss[25] = -1000.0
    run = run.scalar("loss", loss)
    alone, together = watch(run, range(1, 64)), watch(run)
    assert alone.state.substrate.loss_shift == together.state.substrate.loss_shift == 2
    assert_identical(alone, together)


def test_an_empty_frame_changes_nothing() -> None:
    state = engine.init(MLP)
    empty = Frame(np.empty(0, np.int64), np.empty(0), {"loss": np.empty(0)})
    after, seen = engine.update(state, empty, MLP)
    assert seen == []
    assert after.substrate.ordinal == 0
