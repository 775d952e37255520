"""The demo checks its own claims, and says which one does not hold."""

from __future__ import annotations

import math

from gradwatch_service.demo.job import Course
from gradwatch_service.demo.outcome import claims, fate_of, final_level
from tests.service.demo.telling import ALERT, exploded, survived


def held(alone: Course, helped: Course) -> list[bool]:
    return [claim.holds for claim in claims(fate_of(alone), helped, steps=100)]


def test_the_fate_of_the_job_without_help_is_read_from_its_loss() -> None:
    fate = fate_of(exploded())
    assert (fate.best_step, fate.best) == (28, 0.1)
    assert (fate.ruin_step, fate.nonfinite_step) == (67, 90)
    assert fate.lead_steps == 67 - 39
    assert fate.alert is not None
    assert fate.alert.alert == ALERT


def test_all_claims_hold_when_the_demo_goes_as_planned() -> None:
    assert held(exploded(), survived()) == [True, True, True, True]


def test_a_job_that_was_not_ruined_breaks_two_claims() -> None:
    assert held(survived(), survived())[:2] == [False, False]


def test_an_alert_less_than_ten_steps_ahead_is_too_late() -> None:
    assert held(exploded(heard_step=57), survived())[1]
    assert not held(exploded(heard_step=58), survived())[1]


def test_a_warning_or_an_alert_without_numbers_is_no_remedy() -> None:
    assert not held(exploded(severity="warning"), survived())[1]
    assert not held(exploded(advice=[ALERT["advice"][1]]), survived())[1]


def test_the_helped_job_must_reach_its_last_step_with_a_number() -> None:
    assert not held(exploded(), survived(steps=99))[2]
    broken = survived()
    broken.loss[-16:] = [math.nan] * 16
    assert held(exploded(), broken)[2:] == [False, False]


def test_the_helped_job_must_end_as_well_as_the_other_ever_was() -> None:
    assert held(exploded(), survived(final=0.1))[3]
    assert not held(exploded(), survived(final=0.11))[3]
    assert final_level(survived(final=0.11)) == 0.11
