"""Reads of tiles and the live tail together, against a brute force over what was sent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import MISSING32, Float32Array, Frame, Layer, LayerTable, is_missing
from gradwatch_service.store.buckets import FACTOR
from gradwatch_service.store.canvas import ABOVE, BELOW, NAN, Heatmap
from gradwatch_service.store.heatmap import HeatQuery, heatmap
from gradwatch_service.store.levels import GROUPS
from gradwatch_service.store.series import Curve, SeriesQuery, curve
from gradwatch_service.worker import compact
from tests.service.ingest.rig import answer, create_run, frame_push, serving
from tests.service.store import tiled

LAYERS = 70
# Deepest first, so that depth order is not column order.
TABLE = LayerTable(tuple(Layer(f"l{n}", "linear", LAYERS - 1 - n, (8, 8)) for n in range(LAYERS)))
REPORTS = 1_300
LONG = 512 * (GROUPS + 3)


def values_of(reports: int, layers: int = LAYERS) -> Float32Array:
    noise = np.random.default_rng(reports)
    values = np.exp(noise.standard_normal((reports, layers))).astype(np.float32)
    values[7, 3], values[600, 40], values[1200, 69], values[601, 40] = np.nan, np.inf, -np.inf, 1e30
    values[100:110, 5] = MISSING32
    return values


def frames_of(values: Float32Array, size: int, table: LayerTable) -> Iterator[Frame]:
    for start in range(0, len(values), size):
        part = values[start : start + size]
        steps = 3 * np.arange(start, start + len(part))
        scalars = {"loss": part[:, 3].astype(np.float64)}
        yield Frame(steps, steps * 0.5, scalars, table.hash, {"grad_norm": part})


def stored(
    engine: Engine, values: Float32Array, size: int, table: LayerTable, tail: int = 0
) -> uuid.UUID:
    """A run whose reports are in tiles, but for the frames of the last ``tail`` reports."""
    run_id = create_run(engine, layers=table)
    made = list(frames_of(values, size, table))
    late = tail // size
    with serving(engine) as writer:
        for seq, frame in enumerate(made):
            if seq == len(made) - late:
                compact(tiled.backend(engine, writer))
            answer(writer, frame_push(run_id, seq, frame))
        if not late:
            compact(tiled.backend(engine, writer))
    return run_id


@pytest.fixture
def values() -> Float32Array:
    return values_of(REPORTS)


@pytest.fixture
def run_id(engine: Engine, values: Float32Array) -> uuid.UUID:
    return stored(engine, values, 50, TABLE)


def read(engine: Engine, run_id: uuid.UUID, query: SeriesQuery) -> Curve:
    with engine.connect() as connection:
        return curve(connection, run_id, query)


def look(engine: Engine, run_id: uuid.UUID, query: HeatQuery) -> Heatmap:
    with engine.connect() as connection:
        return heatmap(connection, run_id, query)


def test_a_series_of_tiles_and_tail_is_the_one_that_was_sent(
    engine: Engine, run_id: uuid.UUID, values: Float32Array
) -> None:
    left = tiled.bodies(engine, run_id)
    assert 0 < sum(size > 0 for size in left) < len(left)
    steps = 3 * np.arange(REPORTS)
    for column in (0, 3, 5, 40, 69):
        found = read(engine, run_id, SeriesQuery("grad_norm", f"l{column}"))
        there = ~is_missing(values[:, column])
        assert np.array_equal(found.steps, steps[there])
        assert np.array_equal(found.values, values[there, column], equal_nan=True)
        assert found.total == there.sum()
    scalar = read(engine, run_id, SeriesQuery("loss", first=300, last=3303))
    assert np.array_equal(scalar.steps, steps[100:1102])
    assert np.array_equal(scalar.values, values[100:1102, 3])


def test_what_was_not_reported_has_no_points(engine: Engine, run_id: uuid.UUID) -> None:
    for query in (SeriesQuery("other", "l0"), SeriesQuery("grad_norm", "none"), SeriesQuery("x")):
        assert read(engine, run_id, query).total == 0


def test_a_later_attempt_leaves_out_what_it_goes_over_again(
    engine: Engine, run_id: uuid.UUID, values: Float32Array
) -> None:
    create_run(engine, id=run_id, layers=TABLE, launch_id="again", resume_step=1500)
    again = next(frames_of(values[::-1], 600, TABLE))
    again = Frame(again.steps + 1500, again.time, again.scalars, TABLE.hash, again.layers)
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, again, "w1"))
        compact(tiled.backend(engine, writer))
    found = read(engine, run_id, SeriesQuery("grad_norm", "l8"))
    assert np.array_equal(found.steps, 3 * np.arange(1100))
    assert np.array_equal(found.values[:500], values[:500, 8])
    assert np.array_equal(found.values[500:], values[::-1][:600, 8])
    picture = look(engine, run_id, HeatQuery("grad_norm", rows=LAYERS, cols=2000))
    assert np.array_equal(picture.low[LAYERS - 1 - 8], found.values.astype(np.float32))


def brute(
    values: Float32Array, rows: Sequence[Sequence[int]], columns: Sequence[slice]
) -> tuple[Float32Array, Float32Array, Float32Array]:
    shape = (len(rows), len(columns))
    low, high = np.full(shape, MISSING32), np.full(shape, MISSING32)
    kinds = np.zeros(shape, np.uint8)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            cell = values[column][:, list(row)].ravel()
            finite = cell[np.isfinite(cell)]
            if len(finite):
                low[i, j], high[i, j] = finite.min(), finite.max()
            kinds[i, j] |= NAN * (np.isnan(cell) & ~is_missing(cell)).any()
            kinds[i, j] |= ABOVE * np.isposinf(cell).any() | BELOW * np.isneginf(cell).any()
    return low, high, kinds


def test_a_heat_map_of_every_step_is_the_matrix_in_depth_order(
    engine: Engine, run_id: uuid.UUID, values: Float32Array
) -> None:
    found = look(engine, run_id, HeatQuery("grad_norm", 1500, 3299, rows=100, cols=700))
    assert found.layers == [[f"l{n}"] for n in reversed(range(LAYERS))]
    assert found.steps.tolist() == list(range(1500, 3300, 3))
    assert found.last_step == 3297
    columns = [slice(i, i + 1) for i in range(500, 1100)]
    low, high, kinds = brute(values, [[n] for n in reversed(range(LAYERS))], columns)
    assert np.array_equal(found.low, low, equal_nan=True)
    assert np.array_equal(found.high, high, equal_nan=True)
    assert np.array_equal(found.kinds, kinds)


def test_a_cell_keeps_the_extremes_and_all_that_is_not_finite(
    engine: Engine, run_id: uuid.UUID, values: Float32Array
) -> None:
    found = look(engine, run_id, HeatQuery("grad_norm", rows=9, cols=13))
    assert sorted(len(names) for names in found.layers) == [7, 7, 8, 8, 8, 8, 8, 8, 8]
    rows = [[int(name[1:]) for name in names] for names in found.layers]
    edges = [*(found.steps // 3).tolist(), REPORTS]
    starts = np.ceil(found.steps / 3).astype(int).tolist()
    columns = [slice(a, b) for a, b in zip(starts, [*starts[1:], edges[-1]], strict=True)]
    low, high, kinds = brute(values, rows, columns)
    assert np.array_equal(found.low, low, equal_nan=True)
    assert np.array_equal(found.high, high, equal_nan=True)
    assert np.array_equal(found.kinds, kinds)
    assert found.high.max() == np.float32(1e30)
    assert set(np.unique(found.kinds)) == {0, NAN, ABOVE, BELOW}


def test_nothing_reported_is_an_empty_picture(engine: Engine) -> None:
    run_id = create_run(engine, layers=TABLE)
    found = look(engine, run_id, HeatQuery("grad_norm", rows=5))
    assert found.low.shape == (5, 0)


SMALL = LayerTable(tuple(Layer(f"l{n}", "linear", n, (8, 8)) for n in range(45)))


def test_a_long_run_is_read_from_coarser_levels_that_lose_no_extreme(engine: Engine) -> None:
    values = _long()
    run_id = stored(engine, values, 600, SMALL, tail=600)
    with engine.connect() as connection:
        levels = {row.level for row in connection.execute(tiled.groups_of(run_id))}
    assert levels == {0, 1}
    thin = read(engine, run_id, SeriesQuery("grad_norm", "l40", points=64))
    column = values[:, 40]
    assert len(thin.steps) < LONG / 3
    assert thin.total == (~is_missing(column)).sum()
    assert np.array_equal(column[thin.steps // 3], thin.values.astype(np.float32), equal_nan=True)
    for kind in (np.isnan, np.isposinf, np.isneginf):
        assert kind(thin.values).any()
    finite = thin.values[np.isfinite(thin.values)]
    assert (finite.min(), finite.max()) == (column[np.isfinite(column)].min(), np.float32(1e30))
    picture = look(engine, run_id, HeatQuery("grad_norm", rows=45, cols=20))
    everything = np.isfinite(values)
    assert picture.high.max() == values[everything].max()
    assert picture.low.min() == values[everything].min()
    assert set(np.unique(picture.kinds)) == {0, NAN, ABOVE, BELOW, NAN | ABOVE | BELOW}
    assert not np.isnan(picture.low).any()


def _long() -> Float32Array:
    values = np.exp(np.random.default_rng(1).standard_normal((LONG, 45))).astype(np.float32)
    values[5000, 40], values[5001, 40], values[5002, 40], values[5003, 40] = (
        np.nan,
        np.inf,
        -np.inf,
        1e30,
    )
    values[70, 1], values[71, 2], values[72, 3], values[6000, 9] = np.nan, np.inf, -np.inf, 1e-30
    values[130 : 130 + FACTOR, 40] = MISSING32
    return values


def test_a_window_of_a_long_run_is_exact_at_its_edges(engine: Engine) -> None:
    values = _long()
    run_id = stored(engine, values, 600, SMALL)
    first, last = 100, 9_000
    query = SeriesQuery("grad_norm", "l44", 3 * first, 3 * last, points=20)
    found = read(engine, run_id, query)
    assert (found.steps.min(), found.steps.max()) >= (3 * first, 3 * last - 3 * FACTOR)
    assert found.values.max() == values[first : last + 1, 44].max()
    assert found.values.min() == values[first : last + 1, 44].min()
