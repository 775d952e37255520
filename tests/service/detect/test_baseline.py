"""Median, scale, slow level and tail guard against straightforward reference implementations."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gradwatch_service.detect.baseline import BLOCK, EMPTY, Baseline, LongTerm, upper_median
from gradwatch_service.detect.fixedpoint import ONE_BIT, bits, log2_fixed


def feed(rows: np.ndarray) -> tuple[Baseline, LongTerm]:
    base, longterm = Baseline.empty(rows.shape[1]), LongTerm.empty(rows.shape[1])
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        after = base.absorb(block)
        longterm = longterm.absorb(block, base, after)
        base = after
    return base, longterm


def values_of(seed: int, n: int, columns: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, ONE_BIT, (n, columns)).astype(np.int32)


def median_and_scale(values: list[int]) -> tuple[int, int]:
    """The definition, for one column in plain Python."""
    last = values[-64:]
    median = sorted(last)[len(last) // 2]
    mad = sorted(abs(value - median) for value in last)[len(last) // 2]
    return median, max((mad * 1518) >> 10, round(0.04 * ONE_BIT))


@pytest.mark.parametrize("n", [16, 32, 64, 80, 208])
def test_median_and_scale_are_those_of_the_last_64_values(n: int) -> None:
    rows = values_of(1, n, 3)
    base, _ = feed(rows)
    expected = [median_and_scale(rows[:, column].tolist()) for column in range(3)]
    assert list(zip(base.median.tolist(), base.scale.tolist(), strict=True)) == expected


def test_a_column_with_gaps_counts_only_its_own_values() -> None:
    rows, gaps = values_of(2, 160, 2), np.random.default_rng(2).random(160) < 0.7
    rows[gaps, 1] = EMPTY
    base, _ = feed(rows)
    assert base.seen.tolist() == [160, int((~gaps).sum())]
    assert (base.median[1], base.scale[1]) == median_and_scale(rows[~gaps, 1].tolist())


def test_columns_of_one_age_are_taken_as_those_of_several() -> None:
    together, apart = Baseline.empty(2), Baseline.empty(3)
    rows = values_of(3, 160, 2)
    for start, stop in pairwise([0, 5, *range(16, 161, 16)]):
        part = rows[start:stop]
        late = part[:, :1] if start >= 32 else np.full((len(part), 1), EMPTY, np.int32)
        together, apart = together.absorb(part), apart.absorb(np.hstack([part, late]))
    for field in ("ring", "seen", "median", "scale"):
        np.testing.assert_array_equal(getattr(together, field), getattr(apart, field)[:2])


def test_the_scale_never_falls_below_a_25th_of_a_bit() -> None:
    base, _ = feed(np.full((32, 1), 7, np.int32))
    assert (base.median[0], base.scale[0]) == (7, bits(0.04))


def test_it_is_ready_after_32_values_and_z_is_zero_until_then() -> None:
    rows = np.zeros((48, 2), np.int32)
    rows[:16, 1] = EMPTY
    early, _ = feed(rows[:16])
    base, _ = feed(rows[:32])
    late, _ = feed(rows)
    assert [x.ready.tolist() for x in (early, base, late)] == [
        [False, False],
        [True, False],
        [True, True],
    ]
    high = np.full((1, 2), bits(0.4), np.int32)
    assert base.z(high).tolist() == [[pytest.approx(10.0, rel=2e-3), 0.0]]


def test_it_adapts_to_a_new_level_within_48_values() -> None:
    base, _ = feed(np.concatenate([np.zeros((64, 1)), np.full((48, 1), ONE_BIT)]).astype(np.int32))
    assert base.median[0] == ONE_BIT


def test_a_block_without_a_value_changes_nothing() -> None:
    base, longterm = feed(values_of(3, 32))
    nothing = np.full((16, 1), EMPTY, np.int32)
    assert base.absorb(nothing) is base
    after = longterm.absorb(nothing, base, base)
    assert (after.blocks.tolist(), after.slow.tolist()) == ([2], longterm.slow.tolist())


def test_rearranging_keeps_known_columns_and_starts_the_others_anew() -> None:
    base, longterm = feed(values_of(4, 64, 2))
    source = np.array([1, -1])
    moved, fresh = base.rearranged(source), Baseline.empty(1)
    assert moved.ring[0].tolist() == base.ring[1].tolist()
    assert moved.ring[1].tolist() == fresh.ring[0].tolist()
    assert moved.seen.tolist() == [64, 0]
    assert longterm.rearranged(source).blocks.tolist() == [4, 0]


def test_the_slow_level_is_the_median_of_the_block_medians_but_the_last_two() -> None:
    levels = [5, 1, 4, 2, 3, 90, 91]
    rows = np.repeat(levels, BLOCK)[:, None].astype(np.int32)
    seen = [int(feed(rows[: blocks * BLOCK])[1].slow[0]) for blocks in range(1, 8)]
    # 1 block: itself; 2: the first; from then on the upper median of all but the newest two.
    assert seen == [5, 5, 5, 5, 4, 4, 3]


def test_the_slow_level_looks_back_64_blocks() -> None:
    rows = np.repeat([1] * 40 + [2] * 34, BLOCK)[:, None].astype(np.int32)
    assert feed(rows)[1].slow[0] == 2
    assert feed(rows[: -2 * BLOCK])[1].slow[0] == 1


def test_the_tail_guard_starts_wide_and_then_follows_the_largest_z() -> None:
    rows = values_of(5, 640)
    limits = {n: float(feed(rows[:n])[1].limit[0]) for n in (80, 96, 144)}
    assert limits == {80: 8.0, 96: 6.0, 144: 6.0}
    maxima = []
    for start in range(0, 640, BLOCK):
        before, _ = feed(rows[:start]) if start else (Baseline.empty(1), None)
        maxima.append(float(before.z(rows[start : start + BLOCK]).max()))
    expected = max(6.0, 2.8 * sorted(maxima)[len(maxima) * 9 // 10])
    assert feed(rows)[1].limit[0] == expected > 6.0


def test_the_median_of_an_even_number_is_the_upper_one_and_of_none_is_none() -> None:
    rows = np.array([[4, EMPTY], [1, EMPTY], [3, EMPTY], [2, EMPTY]], np.int32)
    assert upper_median(rows).tolist() == [3, EMPTY]


@pytest.mark.parametrize("scales", [0.0, 6.0, np.inf])
def test_no_number_below_the_bound_is_that_far_over_the_median(scales: float) -> None:
    base, _ = feed(np.concatenate([values_of(5, 64, 50), values_of(5, 64, 50) + 100 * ONE_BIT]))
    bound = base.bound(np.maximum(scales * base.unit, bits(1.0)))
    below = np.nextafter(bound, np.float32(0.0))
    rise = log2_fixed(below) - base.median
    assert not ((rise >= bits(1.0)) & (rise / base.unit >= scales)).any()
    assert scales > 0 or (rise >= bits(0.9)).all()  # and it is not far too low
