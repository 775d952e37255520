"""Buckets keep the extremes with their own steps, and the first of each kind that is not finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.domain import MISSING32, MISSING64, FloatArray, IntArray, is_missing
from gradwatch_service.store.buckets import FACTOR, Buckets, joined, merged, of_rows

NUMBERS = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, None])


def points(buckets: Buckets) -> set[tuple[int, str]]:
    steps, values = buckets.points()
    return {(int(step), str(value)) for step, value in zip(steps, values, strict=True)}


def expected(steps: IntArray, values: FloatArray) -> set[tuple[int, str]]:
    found = set()
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite):
        for at in (finite[values[finite].argmin()], finite[values[finite].argmax()]):
            found.add((int(steps[at]), str(values[at])))
    for where in (np.isnan(values) & ~is_missing(values), values == np.inf, values == -np.inf):
        if where.any():
            found.add((int(steps[where].min()), str(values[where][0])))
    return found


@pytest.mark.parametrize(("dtype", "missing"), [(np.float32, MISSING32), (np.float64, MISSING64)])
@given(st.lists(NUMBERS, min_size=1, max_size=FACTOR), st.integers(1, 1000))
def test_a_bucket_says_of_its_rows_what_matters(
    dtype: type, missing: float, numbers: list[float | None], stride: int
) -> None:
    values = np.array([missing if one is None else one for one in numbers], dtype)
    steps = 7 + stride * np.arange(len(values))
    one = merged(of_rows(steps, values[:, None]))
    assert points(one) == expected(steps, values)
    assert one.measured[0, 0] == (~is_missing(values)).sum()
    again = Buckets.of_planes(one.base, one.planes())
    assert points(again) == points(one)


def test_coarser_buckets_of_buckets_keep_true_points() -> None:
    noise = np.random.default_rng(0)
    values = noise.standard_normal((FACTOR * FACTOR * 2 - 5, 3)).astype(np.float32)
    values[4000], values[50, 1], values[5000, 2] = 99.0, np.nan, -np.inf
    steps = 10 * np.arange(len(values))
    halves = [of_rows(steps[part], values[part]) for part in (slice(0, 4096), slice(4096, None))]
    coarse = merged(merged(joined(halves)))
    assert len(coarse.base) == 2
    assert coarse.high[0].tolist() == [99.0] * 3
    assert (coarse.base[0] + coarse.high_at[0].astype(int) - 1).tolist() == [40_000] * 3
    assert coarse.base[0] + int(coarse.nan_at[0, 1]) - 1 == 500
    assert coarse.base[1] + int(coarse.below_at[1, 2]) - 1 == 50_000
    assert coarse.measured.sum() == values.size


def test_where_nothing_finite_was_measured_there_is_no_extreme() -> None:
    values = np.array([[np.nan], [MISSING32]], np.float32)
    one = merged(of_rows(np.array([3, 4]), values))
    assert is_missing(one.low).all()
    assert points(one) == {(3, "nan")}
