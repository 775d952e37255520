"""The same reports give bit-identical results however they are cut into frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradwatch_service.detect import engine
from gradwatch_service.domain import MISSING32, MISSING64, Frame, LayerTable
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.service.detect.watching import Watched, every, watch
from tests.streams import MLP, RECURRENT, Scenario, cut, training

NAMES = [*FAULTY, *HEALTHY]
SCALARS = ("loss", "grad_norm", "lr", "loss_scale", "found_inf")
VALUES = (np.nan, np.inf, -np.inf, None, 0.0, -1.0, 1e30)


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
def tampered(draw: st.DrawFn) -> Scenario:
    """A scenario in which random values at random places are bad, missing, zero or negative."""
    run = scenario(draw(st.sampled_from(NAMES)))
    scalars = {name: values.copy() for name, values in run.frame.scalars.items()}
    layers = {name: values.copy() for name, values in run.frame.layers.items()}
    profiles = {name: values.copy() for name, values in run.frame.profiles.items()}
    for _ in range(draw(st.integers(0, 12))):
        start = draw(st.integers(0, len(run) - 1))
        rows = slice(start, start + draw(st.integers(1, 40)))
        value = draw(st.sampled_from(VALUES))
        name = draw(st.sampled_from(sorted({*scalars, *layers, *profiles, *SCALARS})))
        if name in SCALARS and name not in scalars:
            scalars[name] = np.full(len(run), MISSING64)
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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tampered(), st.lists(st.integers(1, 959), max_size=60))
def test_random_values_in_random_batches_are_judged_alike(run: Scenario, cuts: list[int]) -> None:
    at = sorted({place for place in cuts if place < len(run)})
    assert_identical(watch(run), watch(run, at))


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
