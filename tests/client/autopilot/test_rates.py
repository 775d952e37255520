from __future__ import annotations

import itertools
import math

import pytest

from gradwatch.autopilot.rates import RELEASE_STEPS, Change, Plan

HALF = Change("half", factor=0.5)
CAP = Change("cap", cap=0.01)
WARM = Change("warm", cap=0.1, since=10, steps=100, start=0.01)


def test_without_changes_the_schedule_is_followed_exactly() -> None:
    assert [Plan().rate(rate, 5) for rate in (0.0, 0.1, 1e-9)] == [0.0, 0.1, 1e-9]
    assert Plan().factor(0.1, 5) == 1.0


def test_changes_work_one_after_the_other() -> None:
    assert Plan((HALF,)).rate(0.3, 0) == 0.15
    assert Plan((HALF, CAP)).rate(0.3, 0) == 0.01
    assert Plan((HALF, CAP)).rate(0.004, 0) == 0.002
    assert Plan((CAP, HALF)).rate(0.3, 0) == 0.005


def test_a_warm_up_rises_from_its_start_to_the_schedule() -> None:
    plan = Plan((WARM,))
    assert plan.rate(0.1, 10) == pytest.approx(0.001)
    assert plan.rate(0.1, 60) == pytest.approx(0.1 * (0.01 + 0.99 * 0.5))
    assert plan.rate(0.1, 110) == plan.rate(0.1, 5000) == 0.1
    assert plan.rate(0.3, 5000) == 0.1


def test_a_change_is_taken_back_exactly() -> None:
    plan = Plan((HALF, CAP, WARM))
    assert plan.without("cap").without("half").without("warm") == Plan()
    assert plan.without("half").rate(0.3, 500) == Plan((CAP, WARM)).rate(0.3, 500)


def test_all_groups_keep_their_proportions_under_a_cap() -> None:
    assert Plan((CAP,)).factor(0.04, 0) == 0.25
    assert Plan((CAP,)).factor(0.0, 0) == 1.0


def test_a_released_rate_returns_slowly_and_completely() -> None:
    plan = Plan((Change("cut", factor=1 / 16),), released=100)
    path = [plan.rate(0.32, step) for step in range(100, 100 + RELEASE_STEPS + 1)]
    assert path[0] == pytest.approx(0.02)
    assert path[RELEASE_STEPS // 2] == pytest.approx(0.08)
    assert path[-1] == plan.rate(0.32, 10_000) == 0.32
    steps = [math.log2(b / a) for a, b in itertools.pairwise(path)]
    assert max(steps) < 0.008


def test_a_rate_of_zero_stays_zero_while_released() -> None:
    assert Plan((HALF,), released=0).rate(0.0, 100) == 0.0
