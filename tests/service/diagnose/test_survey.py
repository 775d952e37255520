"""The numbers of a situation, read off real views."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.detect import engine
from gradwatch_service.detect.view import View
from gradwatch_service.diagnose.history import History
from gradwatch_service.diagnose.situation import Held, Situation
from gradwatch_service.diagnose.survey import survey
from gradwatch_service.domain import Evidence, Facts
from tests.service.diagnose.faults import distribution_shift, explosion_through_time
from tests.service.diagnose.situations import held
from tests.service.diagnose.streams import Stream, healthy


def last(stream: Stream, findings: Mapping[str, Held] | None = None) -> Situation:
    """The situation at the last report of a stream."""
    state, history = engine.init(stream.layers), History.empty(stream.layers)
    views: list[View] = []
    for frame in stream.frames(range(0, len(stream), 16)):
        history = history.told(frame.events)
        state, segments = engine.update(state, frame, stream.layers)
        for seen in segments:
            history = history.grown(seen.view.layers).advance(seen.view, 0, len(seen.view))
            views.append(seen.view)
    view = views[-1]
    return survey(
        view, len(view) - 1, history, findings or {}, facts=Facts(optimizer="sgd"), max_norm=2.0
    )


def test_a_healthy_run_in_plain_numbers() -> None:
    s = last(healthy(300))
    assert (s.ordinal, s.step, s.increment, s.lr) == (299, 299, 1, 1e-3)
    assert s.uw == pytest.approx(1e-3, rel=1e-3)
    assert s.normal == pytest.approx(6**0.5, rel=0.1)
    assert (s.moving, s.hot_layers, s.mover, s.shifted, s.spikes) == (0.0, (), None, False, 0)
    assert (s.guard.max_norm, s.guard.expires_step) == (2.0, 299 + 256)
    assert (s.beta, s.clip_norm, s.largest, s.zeros, s.skips) == (None, None, None, 0.0, 0)
    assert s.lower
    assert s.tail == pytest.approx(8.1, abs=0.01)


def test_what_was_not_measured_is_none() -> None:
    stream = healthy(40)
    stream.stats, stream.scalars = {}, {"loss": stream.scalars["loss"]}
    s = last(stream)
    assert (s.uw, s.uw_rise, s.normal, s.lr, s.falling) == (None, 0.0, None, None, False)


def test_the_update_ratio_is_the_median_of_16_and_before_that_the_newest() -> None:
    stream = healthy(80)
    stream.update_ratio(75, 0.5)
    s = last(stream)
    assert s.uw == pytest.approx(1e-3, rel=1e-3)
    assert s.uw_rise == pytest.approx(np.log2(500), abs=0.01)
    assert last(stream.until(10)).uw == pytest.approx(1e-3, rel=1e-3)


def test_the_time_slope_is_that_of_the_profile_else_that_of_the_finding() -> None:
    stream = explosion_through_time().until(121)
    s = last(stream)
    assert s.beta == pytest.approx(0.3, abs=0.01)
    stream.profile = None
    slope = Evidence("time-slope", "β = 0.25 bits a time step", 100, 0.25)
    known = {"explosion-through-time": held("explosion-through-time", facts=(slope,))}
    assert last(stream, known).beta == 0.25
    stream.profile = np.full((121, 40), np.nan)
    assert last(stream).beta is None


def test_a_shift_shows_once_the_loss_rests_at_its_new_level() -> None:
    stream = distribution_shift()
    assert not last(stream.until(211)).shifted
    assert last(stream.until(212)).shifted
    stream.multiply_loss(200, 1.05 ** np.arange(200))
    assert not last(stream.until(230)).shifted


def test_a_shift_of_a_loss_that_can_be_negative_is_judged_linearly() -> None:
    stream = distribution_shift()
    stream.scalars["loss"] -= 1.5
    assert last(stream.until(220)).shifted
    assert not last(stream.until(200)).shifted


def test_announcements_of_the_future_are_not_known_yet() -> None:
    stream = healthy(100)
    stream.events = ({"kind": "phase", "step": 90},)
    assert last(replace(stream.until(80), events=stream.events)).phases == ()
    assert last(stream).phases == (90,)


def test_more_zeros_than_at_the_start_are_counted() -> None:
    stream = healthy(50)
    stream.stats["grad_zero"] = np.full((50, 6), 0.25)
    stream.stats["grad_zero"][40:] = 0.75
    assert last(stream.until(40)).zeros == 0.0
    assert last(stream).zeros == 0.5


def test_a_loss_is_lower_than_long_ago_once_there_was_such_a_time() -> None:
    stream = healthy(200)
    assert not last(stream.until(95)).lower
    assert last(stream).lower
    stream.multiply_loss(150, 3.0)
    assert not last(stream).lower


def test_a_loss_falls_if_it_came_down_within_64_reports_by_more_than_its_noise() -> None:
    stream = healthy(400)
    assert not last(stream.until(63)).falling
    assert last(stream.until(64)).falling
    assert not last(stream).falling
    stream.multiply_loss(336, 0.99 ** np.arange(64))
    assert last(stream).falling


def test_a_loss_that_can_be_negative_falls_by_its_noise() -> None:
    stream = healthy(400)
    stream.scalars["loss"] -= 1.0
    assert not last(stream).falling
    stream.scalars["loss"][380:] -= 1.0
    assert (last(stream).falling, last(stream).lower) == (True, True)
