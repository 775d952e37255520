"""The training job of the demo: alone it learns and then explodes, with help it survives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwatch.off import OffRun
from gradwatch_service.demo.curves import best_step, first_nonfinite, level, ruin_step
from gradwatch_service.demo.job import Course, Settings, learning_rate, train, updated
from gradwatch_service.demo.policy import ALONE, guided
from gradwatch_service.demo.rnn import Task, gradients_of, initial_weights
from tests.service.demo.folding import FoldedRun


@pytest.fixture(scope="module")
def alone() -> Course:
    """The job of the demo, reporting to the real fold and ignoring it."""
    settings = Settings()
    return train(settings, FoldedRun(settings), ALONE)


def test_without_help_it_learns_for_a_good_while(alone: Course) -> None:
    best = best_step(alone.loss, ruin_step(alone.loss))
    assert best > 120
    assert level(alone.loss)[best] < 0.2 * np.median(alone.loss[:16])


def test_then_the_gradient_grows_until_the_loss_is_no_number(alone: Course) -> None:
    nonfinite, ruined = first_nonfinite(alone.loss), ruin_step(alone.loss)
    assert nonfinite is not None
    assert ruined is not None
    assert 150 < ruined <= nonfinite < 600
    assert len(alone.loss) == nonfinite + 3
    assert max(filter(math.isfinite, alone.grad_norm)) > 1e3 * np.median(alone.grad_norm[:100])
    assert not alone.clipped
    assert not alone.skipped
    assert not alone.applied


def test_its_alert_names_the_recurrent_layer_long_before_that(alone: Course) -> None:
    first = min(alone.heard.values(), key=lambda heard: heard.step)
    ruined = ruin_step(alone.loss)
    assert ruined is not None
    assert first.alert["cause"] == "explosion-through-time"
    assert first.alert["layers"][0] == "W_hh"
    assert ruined - first.step >= 50


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_with_help_the_same_job_ends_better_than_the_other_ever_was(seed: int) -> None:
    settings = Settings(seed=seed)
    other = train(settings, OffRun(), ALONE)
    ruined = ruin_step(other.loss)
    assert ruined is not None
    best = level(other.loss)[best_step(other.loss, ruined)]
    run = FoldedRun(settings)
    course = train(settings, run, guided(run))
    assert len(course.loss) == settings.steps
    assert all(map(math.isfinite, course.loss))
    assert level(course.loss)[-1] < 0.5 * best
    assert len(course.clipped) > 20
    assert run.events == [(step, f"advice: {title}") for step, title in course.applied]
    assert any("time steps" in title for _, title in course.applied)


def test_the_learning_rate_doubles_every_sixty_steps_then_holds_then_falls_to_zero() -> None:
    assert learning_rate(0, 600) == pytest.approx(5e-5)
    assert learning_rate(60, 600) == pytest.approx(1e-4)
    assert learning_rate(260, 600) == learning_rate(500, 600) == pytest.approx(5e-5 * 2 ** (13 / 3))
    assert learning_rate(550, 600) == pytest.approx(learning_rate(500, 600) / 2)
    assert learning_rate(600, 600) == 0.0


def test_a_skipped_update_changes_nothing_and_a_clipped_one_less() -> None:
    weights = initial_weights(1, 8)
    gradients = gradients_of(weights, Task().draw(1, 0), 60)
    assert updated(weights, gradients, 0.0) is weights
    full, half = (updated(weights, gradients, rate)["W_hh"] for rate in (0.1, 0.05))
    assert full - weights["W_hh"] == pytest.approx(2 * (half - weights["W_hh"]), rel=1e-3, abs=1e-6)
