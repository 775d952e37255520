"""The profiles that a person sees are those the rules judged, from tiles as from frames."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import MISSING32, Frame, Layer, LayerTable
from gradwatch_service.store.profiles import DepthAt, TimeAt, depth_at, time_at
from tests.service.ingest.rig import answer, create_run, frame_push, make_frame, serving, verdict
from tests.service.store.tiled import bodies, compact_all

DEEP = LayerTable(tuple(Layer(f"fc{n}", "linear", n, (64, 64)) for n in range(8)))
REPORTS, LENGTH = 120, 20
SLOPE, BETA = 1.5, 0.5


def growing() -> Frame:
    """Gradients that grow by 1.5 bits a layer towards the input, by half a bit a time step back."""
    noise = np.random.default_rng(3)
    depth = np.arange(len(DEEP))
    bits = -SLOPE * depth + 0.05 * noise.standard_normal((REPORTS, len(DEEP)))
    time = np.tile(np.exp2(-BETA * np.arange(LENGTH)), (REPORTS, 1)).astype(np.float32)
    time = np.concatenate([time, np.full((REPORTS, 3), MISSING32)], axis=1)
    time[1::2] = MISSING32
    return Frame(
        steps=np.arange(REPORTS),
        time=1.7e9 + np.arange(REPORTS),
        scalars={"loss": np.ones(REPORTS), "grad_norm": np.ones(REPORTS)},
        layers_hash=DEEP.hash,
        layers={
            "act_grad_norm": np.exp2(bits).astype(np.float32),
            "grad_norm": np.ones((REPORTS, len(DEEP)), np.float32),
        },
        profiles={"time": time},
    )


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    run_id = create_run(engine, layers=DEEP)
    whole = growing()
    with serving(engine) as writer:
        for seq, start in enumerate(range(0, REPORTS, 7)):
            rows = slice(start, start + 7)
            part = replace(
                whole,
                steps=whole.steps[rows],
                time=whole.time[rows],
                scalars={name: column[rows] for name, column in whole.scalars.items()},
                layers={name: block[rows] for name, block in whole.layers.items()},
                profiles={name: block[rows] for name, block in whole.profiles.items()},
            )
            answer(writer, frame_push(run_id, seq, part))
    return run_id


def depth(engine: Engine, run_id: uuid.UUID, step: int) -> DepthAt:
    with engine.connect() as connection:
        return depth_at(connection, run_id, step)


def time(engine: Engine, run_id: uuid.UUID, step: int) -> TimeAt | None:
    with engine.connect() as connection:
        return time_at(connection, run_id, step)


def judged_growth(engine: Engine, run_id: uuid.UUID) -> tuple[int, float]:
    """When depth-explosion fired, and the growth it named."""
    alerts = verdict(engine, run_id)["alerts"]
    facts = [
        fact
        for alert in alerts.values()
        for fact in alert["evidence"]
        if fact["name"] == "depth-explosion"
    ]
    return facts[0]["step"], facts[0]["value"]


@pytest.mark.parametrize("tiled", [False, True])
def test_the_profile_against_depth_is_the_one_the_rule_judged(
    engine: Engine, run_id: uuid.UUID, tiled: bool
) -> None:
    if tiled:
        compact_all(engine, run_id)
        assert set(bodies(engine, run_id)) == {0}
    step, growth = judged_growth(engine, run_id)
    found = depth(engine, run_id, step)
    assert found.steps.tolist() == list(range(step - 15, step + 1))
    assert found.fitted is not None
    assert found.fitted.growth_bits == growth
    assert found.fitted.source == "act_grad_norm"
    medians = np.sort(np.log2(growing().layers["act_grad_norm"][step - 15 : step + 1]), axis=0)[8]
    assert np.allclose(found.fitted.signal, medians, atol=1e-3)
    assert found.fitted.slope == pytest.approx(-SLOPE, abs=0.05)


@pytest.mark.parametrize("tiled", [False, True])
def test_the_profile_through_time_is_the_newest_at_the_step(
    engine: Engine, run_id: uuid.UUID, tiled: bool
) -> None:
    if tiled:
        compact_all(engine, run_id)
    found = time(engine, run_id, 41)
    assert found is not None
    assert found.step == 40
    assert np.allclose(found.bits, -BETA * np.arange(LENGTH), atol=1e-3)
    assert found.slope == pytest.approx(BETA, abs=1e-3)
    newest = time(engine, run_id, 10**6)
    assert newest is not None
    assert newest.step == REPORTS - 2


def test_few_reports_are_a_profile_already(engine: Engine, run_id: uuid.UUID) -> None:
    assert depth(engine, run_id, 4).steps.tolist() == [0, 1, 2, 3, 4]


def test_the_writer_that_is_furthest_by_then_is_shown(engine: Engine, run_id: uuid.UUID) -> None:
    ahead = replace(make_frame(range(200, 232), DEEP, loss=1.0))
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, ahead, "w1"))
    assert depth(engine, run_id, 10**6).steps.tolist() == list(range(216, 232))
    assert depth(engine, run_id, 100).steps.tolist() == list(range(85, 101))


def test_without_reports_there_is_no_profile(engine: Engine) -> None:
    run_id = create_run(engine)
    assert time(engine, run_id, 5) is None
    nothing = depth(engine, run_id, 5)
    assert (len(nothing.steps), nothing.fitted) == (0, None)
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame(range(5), loss=1.0)))
    assert time(engine, run_id, 5) is None
    assert depth(engine, run_id, 5).fitted is None
