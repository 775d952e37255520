from __future__ import annotations

import math

import pytest

from gradwatch.guard import MAX_SKIPS, PROCEED, SKIP, Decision, Guard, Skips, decide
from gradwatch.news import News

ARMED = Guard(max_norm=2.0, skip_above=50.0, max_consecutive_skips=3, expires_step=300)
NONE = Skips()
ENOUGH = Skips(in_a_row=3)


def test_an_unarmed_guard_does_nothing_even_at_step_0() -> None:
    assert decide(Guard(), math.nan, 0, NONE) == PROCEED


def test_a_norm_within_the_limit_passes() -> None:
    assert decide(ARMED, 2.0, 10, NONE) == PROCEED


def test_a_larger_norm_is_clipped_by_the_factor_of_clip_grad_norm() -> None:
    assert decide(ARMED, 8.0, 10, NONE) == Decision(clip=2.0 / (8.0 + 1e-6))


@pytest.mark.parametrize("norm", [50.1, math.nan, math.inf])
def test_an_unacceptable_norm_is_skipped(norm: float) -> None:
    assert decide(ARMED, norm, 10, NONE) == SKIP


def test_non_finite_norms_pass_where_the_guard_allows_them() -> None:
    lenient = Guard(max_norm=2.0, skip_nonfinite=False, expires_step=300)
    assert decide(lenient, math.nan, 10, NONE) == PROCEED


def test_after_enough_skips_in_a_row_a_large_gradient_is_clipped_instead() -> None:
    assert decide(ARMED, 80.0, 10, Skips(in_a_row=2)) == SKIP
    assert decide(ARMED, 80.0, 11, ENOUGH) == Decision(clip=2.0 / (80.0 + 1e-6))


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_after_enough_skips_in_a_row_a_non_finite_gradient_is_mended(norm: float) -> None:
    assert decide(ARMED, norm, 11, ENOUGH) == Decision(sanitise_to=2.0)


def test_without_a_limit_to_clip_to_the_limit_to_skip_stands_in() -> None:
    guard = Guard(skip_above=50.0, expires_step=300)
    assert decide(guard, 80.0, 11, Skips(4)) == Decision(clip=50.0 / (80.0 + 1e-6))
    assert decide(guard, math.inf, 11, Skips(4)) == Decision(sanitise_to=50.0)
    assert decide(Guard(expires_step=300), math.nan, 11, Skips(4)) == Decision(sanitise_to=1.0)


def skipped(norms: list[float], guard: Guard, first: int = 0) -> list[int]:
    """The steps skipped of a run with these norms."""
    skips, steps = NONE, []
    for step, norm in enumerate(norms, first):
        decision = decide(guard, norm, step, skips)
        skips = skips.after(decision, step)
        steps += [step] if decision.skip else []
    return steps


def test_a_run_of_nothing_but_bad_steps_never_stands_still() -> None:
    guard = Guard(max_norm=2.0, skip_above=50.0, expires_step=10_000)
    expected = [0, 1, 2, 3, 5, 6, 7, 8, 10, 11]  # four at a time, ten in all
    assert skipped([math.nan] * 512, guard) == expected
    assert skipped([80.0] * 512, guard) == expected


def test_of_512_steps_ten_may_be_skipped() -> None:
    guard = Guard(max_norm=2.0, skip_above=50.0, expires_step=10_000)
    every_third = [80.0 if step % 3 == 0 else 1.0 for step in range(1100)]
    steps = skipped(every_third, guard)
    assert steps[:11] == [*range(0, 30, 3), 513]
    for step in steps:
        assert sum(step - 512 < at <= step for at in steps) <= MAX_SKIPS


def test_the_guard_expires_after_its_last_step() -> None:
    assert decide(ARMED, math.nan, 300, NONE) == SKIP
    assert decide(ARMED, math.nan, 301, NONE) == PROCEED


def test_reads_the_guard_of_a_receipt() -> None:
    body = {
        "max_norm": 1,
        "skip_above": 9.5,
        "skip_nonfinite": True,
        "max_consecutive_skips": 4,
        "expires_step": 256,
    }
    assert Guard.from_json(body) == Guard(1.0, 9.5, True, 4, 256)


@pytest.mark.parametrize("value", ["NaN", None, -1.0, 0, math.inf, [1]])
def test_a_limit_that_is_no_positive_number_is_no_limit(value: object) -> None:
    assert Guard.from_json({"max_norm": value, "expires_step": 9}).max_norm is None


def test_an_empty_guard_is_unarmed() -> None:
    assert Guard.from_json({}) == Guard(None, None, False, 0, -1)


def test_news_keep_the_newest_version_of_every_alert_and_the_newest_advice() -> None:
    first = News().after(
        {
            "guard": {"max_norm": 3.0, "expires_step": 8},
            "advice": [{"action": "clip"}],
            "alerts": [{"id": "a", "state": "pending"}, {"id": "b", "state": "firing"}],
            "health": "critical",
        }
    )
    second = first.after({"alerts": [{"id": "a", "state": "firing"}], "advice": "nonsense"})
    assert first.guard.max_norm == 3.0
    assert second.guard == first.guard
    assert [dict(item) for item in first.advice] == [{"action": "clip"}]
    assert second.advice == ()
    assert [alert["state"] for alert in second.alerts] == ["firing", "firing"]
    assert (News().health, second.health) == ("ok", "critical")
    assert [alert["state"] for alert in first.alerts] == ["pending", "firing"]
