"""Reading a training curve: its level, its best, where it was ruined, and its picture."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwatch_service.demo.curves import (
    Scale,
    best_step,
    first_nonfinite,
    level,
    ruin_step,
    sparkline,
)

FALLING = [1.0] * 20 + [0.1] * 40


def test_the_level_is_the_median_of_sixteen_steps() -> None:
    levels = level([float(n) for n in range(20)])
    assert np.isinf(levels[:15]).all()
    assert levels[15:].tolist() == [7.5, 8.5, 9.5, 10.5, 11.5]
    assert np.isinf(level([1.0] * 5)).all()


def test_the_best_step_is_the_first_of_the_lowest_level() -> None:
    assert best_step(FALLING) == 28
    assert best_step(FALLING, end=20) == 15


def test_the_first_step_that_is_no_number_is_found() -> None:
    assert first_nonfinite([1.0, math.inf, math.nan]) == 1
    assert first_nonfinite(FALLING) is None


def test_a_job_that_ends_well_was_not_ruined() -> None:
    assert ruin_step(FALLING) is None


def test_a_single_bad_batch_ruins_nothing() -> None:
    assert ruin_step([*FALLING[:40], 50.0, *FALLING[40:]]) is None


def test_a_job_that_came_back_was_not_ruined() -> None:
    assert ruin_step(FALLING + [1.0] * 30 + [0.1] * 30) is None


def test_ruin_is_the_step_from_which_the_level_stays_over_half_as_much_again() -> None:
    assert ruin_step(FALLING + [1.0] * 30) == 60 + 7


def test_a_loss_that_is_no_number_is_ruin_at_once() -> None:
    assert ruin_step([*FALLING, math.nan, math.nan, math.nan]) == 60


def test_a_line_shows_more_ink_the_higher_the_value() -> None:
    values = [1.0, 10.0, 100.0]
    assert sparkline(values, Scale(0.0, 2.0, 3), width=3) == " =@"
    assert sparkline(values, Scale(0.0, 2.0, 6), width=6) == " =@"


def test_a_line_marks_what_is_no_number_and_stays_within_its_scale() -> None:
    values = [0.0, 1e9, math.inf, math.nan]
    assert sparkline(values, Scale(0.0, 2.0, 4), width=4) == " @!!"


def test_each_mark_is_the_median_of_its_share() -> None:
    assert sparkline([1.0, 1.0, 100.0] * 2, Scale(0.0, 2.0, 6), width=2) == "  "


def test_a_curve_with_fewer_steps_than_the_line_has_marks_is_drawn_step_by_step() -> None:
    assert sparkline([1.0, 100.0], Scale(0.0, 2.0, 2), width=64) == " @"


def test_a_flat_curve_is_drawn_at_the_bottom() -> None:
    flat = [3.0] * 8
    assert sparkline(flat, Scale.of(flat), width=4) == "    "


def test_a_scale_holds_all_curves_up_to_two_powers_of_ten_over_the_median() -> None:
    scale = Scale.of([0.1, 1.0, 1.0], [1.0, 1e6, math.inf, math.nan])
    assert scale == Scale(low=-1.0, high=pytest.approx(2.0), steps=4)
