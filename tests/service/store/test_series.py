"""A series read back: of all writers, in step order, with its extremes when it is thinned."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.domain import MISSING64, Frame
from gradwatch_service.store.downsampling import downsample
from gradwatch_service.store.series import SeriesQuery, series
from tests.service.ingest.rig import LAYERS, answer, create_run, frame_push, make_frame, serving


def read(engine: Engine, run_id: uuid.UUID, query: SeriesQuery) -> list[tuple[int, float]]:
    with engine.connect() as connection:
        steps, values = series(connection, run_id, query)
    return list(zip(steps.tolist(), values.tolist(), strict=True))


@pytest.fixture
def run_id(engine: Engine) -> uuid.UUID:
    """Two writers; the one that sorts first by code point pushes last."""
    run_id = create_run(engine)
    measured = Frame(
        steps=np.array([4, 5]),
        time=np.zeros(2),
        scalars={"loss": np.array([4.5, MISSING64])},
        layers_hash=LAYERS.hash,
        layers={"grad_norm": np.array([[1, 2, 3], [4, 5, np.inf]], np.float32)},
    )
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, make_frame([1, 2, 3], loss=[1.0, 2.0, 3.0]), "b"))
        answer(writer, frame_push(run_id, 1, measured, "b"))
        answer(writer, frame_push(run_id, 0, make_frame([3, 2], loss=[30.0, 20.0]), "B"))
    return run_id


def test_points_are_in_step_order_and_the_first_writer_first(
    engine: Engine, run_id: uuid.UUID
) -> None:
    expected = [(1, 1.0), (2, 20.0), (2, 2.0), (3, 30.0), (3, 3.0), (4, 4.5)]
    assert read(engine, run_id, SeriesQuery("loss")) == expected


def test_a_layer_is_found_by_name_and_infinity_is_kept(engine: Engine, run_id: uuid.UUID) -> None:
    assert read(engine, run_id, SeriesQuery("grad_norm", "c")) == [(4, 3.0), (5, np.inf)]


@pytest.mark.parametrize(
    "query",
    [
        SeriesQuery("accuracy"),
        SeriesQuery("grad_norm"),
        SeriesQuery("grad_norm", "z"),
        SeriesQuery("loss", "a"),
    ],
)
def test_what_was_never_reported_has_no_points(
    engine: Engine, run_id: uuid.UUID, query: SeriesQuery
) -> None:
    assert read(engine, run_id, query) == []


def test_a_range_of_steps_is_inclusive(engine: Engine, run_id: uuid.UUID) -> None:
    found = read(engine, run_id, SeriesQuery("loss", first=2, last=3))
    assert [step for step, _ in found] == [2, 2, 3, 3]


def test_a_long_series_is_thinned_to_its_extremes(engine: Engine) -> None:
    run_id = create_run(engine)
    values = np.sin(np.arange(3000.0))
    values[1234], values[2000], values[77] = 50.0, -50.0, np.nan
    with serving(engine) as writer:
        for seq in range(3):
            part = slice(1000 * seq, 1000 * (seq + 1))
            frame = make_frame(range(3000)[part], loss=values[part])
            answer(writer, frame_push(run_id, seq, frame))
    steps, kept = map(np.array, zip(*read(engine, run_id, SeriesQuery("loss")), strict=True))
    found = dict(zip(*downsample(steps, kept, 20), strict=True))
    assert 20 <= len(found) <= 21
    assert (found[1234], found[2000]) == (50.0, -50.0)
    assert np.isnan(found[77])


VALUES = st.lists(st.floats(width=32) | st.sampled_from([np.nan, np.inf, -np.inf]), max_size=200)


@given(VALUES, st.integers(2, 50))
def test_thinning_keeps_the_extremes_and_every_kind_of_non_finite(
    values: list[float], points: int
) -> None:
    steps, column = np.arange(len(values)), np.array(values, dtype=np.float64)
    kept_steps, kept = downsample(steps, column, points)
    assert np.array_equal(column[kept_steps], kept, equal_nan=True)
    assert (np.diff(kept_steps) > 0).all()
    finite, kept_finite = column[np.isfinite(column)], kept[np.isfinite(kept)]
    assert len(kept_finite) <= max(points, 2)
    if len(finite):
        assert (kept_finite.min(), kept_finite.max()) == (finite.min(), finite.max())
    for is_kind in (np.isnan, np.isposinf, np.isneginf):
        places = steps[is_kind(column)]
        assert places[:1].tolist() == kept_steps[is_kind(kept)][:1].tolist()


def test_a_short_series_is_left_alone() -> None:
    steps, values = np.arange(3), np.array([1.0, 2.0, 3.0])
    assert [part.tolist() for part in downsample(steps, values, 3)] == [[0, 1, 2], [1.0, 2.0, 3.0]]
