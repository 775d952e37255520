"""How often more is measured follows from what watching takes of a step, and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from gradwatch.integrations.pace import BUDGET, MOST_STEPS, WINDOW_STEPS, Change, Pace

STEP_SECONDS = 0.1
MANY = 10_000


def trained(pace: Pace, costs: Iterable[float], step_seconds: float = STEP_SECONDS) -> list[Change]:
    """What changed over steps that were watched for so many seconds each."""
    now, changes = 0.0, []
    for cost in costs:
        change = pace.note(now, cost)
        changes += [] if change is None else [change]
        now += step_seconds
    return changes


def sampled(pace: Pace, usual: float, more: float, steps: int) -> list[Change]:
    """The same where steps that are measured in full take longer."""
    changes, now = [], 0.0
    for step in range(steps):
        change = pace.note(now, usual + more * pace.is_due(step))
        changes += [] if change is None else [change]
        now += STEP_SECONDS
    return changes


def test_steps_are_measured_in_full_from_the_first_one_on() -> None:
    pace = Pace(8, first_step=500, adapts=True)
    assert [step for step in range(500, 530) if pace.is_due(step)] == [500, 508, 516, 524]


def test_nothing_is_due_where_only_norms_of_gradients_are_wanted() -> None:
    pace = Pace(0, first_step=0, adapts=True)
    assert not any(map(pace.is_due, range(100)))
    assert not pace.adapts


def test_within_the_budget_nothing_changes() -> None:
    pace = Pace(4, first_step=0, adapts=True)
    assert trained(pace, [0.9 * BUDGET * STEP_SECONDS] * MANY) == []
    assert pace.every == 4


def test_two_windows_over_budget_double_the_interval() -> None:
    pace = Pace(1, first_step=0, adapts=True)
    (change,) = trained(pace, [3 * BUDGET * STEP_SECONDS] * (2 * WINDOW_STEPS + 1))
    assert change.every == pace.every == 2
    assert change.share == pytest.approx(3 * BUDGET)
    assert change.text.startswith("watching took 3.0% of a step (budget 1%)")


def test_one_disturbed_window_changes_nothing() -> None:
    pace = Pace(1, first_step=0, adapts=True)
    calm, disturbed = [0.0] * WINDOW_STEPS, [0.05] * WINDOW_STEPS
    assert trained(pace, (calm + disturbed) * 20) == []


def test_the_share_ends_within_the_budget_where_sampling_can_reach_it() -> None:
    pace = Pace(1, first_step=0, adapts=True)
    usual, more = 0.004 * STEP_SECONDS, 0.05 * STEP_SECONDS
    changes = sampled(pace, usual, more, MANY)
    assert [change.every for change in changes] == [2, 4, 8, 16]
    assert (usual + more / pace.every) / STEP_SECONDS <= BUDGET


def test_norms_alone_over_budget_are_still_measured_and_that_is_said_once() -> None:
    pace = Pace(1, first_step=0, adapts=True)
    changes = trained(pace, [0.2 * STEP_SECONDS] * 5 * MANY)
    assert [change.every for change in changes] == [2, 4, 8, 16, 32, 64, 128, 128]
    assert changes[-1].is_at_end
    assert "norms of gradients, which are measured at each step" in changes[-1].text
    assert pace.every == MOST_STEPS


def test_cheaper_steps_bring_the_interval_back_but_not_below_the_first_one() -> None:
    pace = Pace(2, first_step=0, adapts=True)
    trained(pace, [0.05 * STEP_SECONDS] * (2 * WINDOW_STEPS + 1))
    assert pace.every == 4
    trained(pace, [0.0] * MANY)
    assert pace.every == 2


def test_a_pause_between_steps_is_no_step() -> None:
    pace, now, changes = Pace(1, first_step=0, adapts=True), 0.0, []
    for step in range(4 * WINDOW_STEPS):
        changes.append(pace.note(now, 2 * BUDGET * STEP_SECONDS))
        now += 60.0 if step % 32 == 0 else STEP_SECONDS  # a validation
    assert any(changes)


def test_a_short_training_is_not_judged() -> None:
    pace = Pace(1, first_step=0, adapts=True)
    assert trained(pace, [0.001] * 500, step_seconds=0.002) == []


def test_a_chosen_interval_stays() -> None:
    pace = Pace(5, first_step=0, adapts=False)
    assert trained(pace, [STEP_SECONDS] * MANY) == []
    assert pace.every == 5
