"""Memory of the learning rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwatch_service.diagnose.rates import Jump, Rates


def follow(*rates: float, cuts: tuple[int, ...] = ()) -> Rates:
    """Take these rates in, one report each, step = 10 x ordinal."""
    memory, ordinal = Rates(), np.arange(len(rates))
    for part in np.split(ordinal, cuts):
        if len(part):
            memory = memory.advance(np.array(rates)[part], part, 10 * part)
    return memory


def test_knows_nothing_before_a_rate_is_reported() -> None:
    memory = follow(np.nan, np.nan)
    assert (memory.now, memory.before, memory.rising, memory.without_warm_up) == (
        None,
        None,
        False,
        False,
    )


def test_carries_the_rate_over_reports_without_one() -> None:
    memory = follow(np.nan, 0.5, np.nan, np.nan)
    assert (memory.now, memory.before, memory.first, memory.peak) == (0.5, 0.5, 0.5, 0.5)


def test_finds_a_jump_and_keeps_the_newest() -> None:
    assert follow(*[1.0] * 20, 1.25).jump == Jump(20, 200, 1.0, 1.25)
    assert follow(*[1.0] * 20, 2.0, 4.0, 4.0).jump == Jump(21, 210, 1.0, 4.0)
    assert follow(*[1.0] * 20, 1.24).jump is None


def test_back_to_a_rate_of_the_last_64_reports_is_no_jump() -> None:
    assert follow(*[1.0] * 20, *[0.1] * 63, 1.0).jump is None
    assert follow(*[1.0] * 20, *[0.1] * 64, 1.1).jump == Jump(84, 840, 0.1, 1.1)


def test_a_warm_restart_goes_back_to_a_rate_the_run_has_known() -> None:
    assert follow(*[1.0] * 20, *[0.1] * 100, 1.0).jump is None


def test_sees_a_jump_across_reports_without_a_rate_and_between_frames() -> None:
    rates = (*[1.0] * 10, np.nan, 3.0)
    assert follow(*rates).jump == follow(*rates, cuts=(11,)).jump == Jump(11, 110, 1.0, 3.0)


def test_a_linear_warm_up_is_rising_but_no_jump() -> None:
    memory = follow(*np.arange(100) / 100)
    assert (memory.jump, memory.rising, memory.without_warm_up) == (None, True, False)


@pytest.mark.parametrize(("last", "rising"), [(1.0, False), (1.05, True), (0.5, False)])
def test_rising_compares_with_64_reports_ago(last: float, rising: bool) -> None:
    memory = follow(0.1, *[1.0] * 64, last)
    assert memory.before == 1.0
    assert memory.rising is rising


def test_a_run_that_starts_at_its_peak_has_no_warm_up() -> None:
    assert follow(0.8, 1.0, 0.9).without_warm_up
    assert not follow(0.7, 1.0).without_warm_up


@given(
    st.lists(st.sampled_from([np.nan, 0.0, 0.1, 0.2, 1.0]), min_size=1, max_size=150),
    st.sets(st.integers(0, 150), max_size=8),
)
def test_does_not_depend_on_the_cuts(rates: list[float], cuts: set[int]) -> None:
    whole, cut = follow(*rates), follow(*rates, cuts=tuple(sorted(cuts)))
    assert np.array_equal(whole.recent, cut.recent, equal_nan=True)
    assert whole.jump == cut.jump
    assert np.array_equal([whole.first, whole.peak], [cut.first, cut.peak], equal_nan=True)
