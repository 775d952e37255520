from __future__ import annotations

import math

import pytest

from gradwatch.guard import PROCEED, Decision, Guard, decide
from gradwatch.news import News

ARMED = Guard(max_norm=2.0, skip_above=50.0, max_consecutive_skips=3, expires_step=300)
SKIP = Decision(clip=1.0, skip=True)


def test_an_unarmed_guard_does_nothing_even_at_step_0() -> None:
    assert decide(Guard(), math.nan, 0, 0) == PROCEED


def test_a_norm_within_the_limit_passes() -> None:
    assert decide(ARMED, 2.0, 10, 0) == PROCEED


def test_a_larger_norm_is_clipped_by_the_factor_of_clip_grad_norm() -> None:
    assert decide(ARMED, 8.0, 10, 0) == Decision(clip=2.0 / (8.0 + 1e-6))


@pytest.mark.parametrize("norm", [50.1, math.nan, math.inf])
def test_an_unacceptable_norm_is_skipped(norm: float) -> None:
    assert decide(ARMED, norm, 10, 0) == SKIP


def test_non_finite_norms_pass_where_the_guard_allows_them() -> None:
    lenient = Guard(max_norm=2.0, skip_nonfinite=False, expires_step=300)
    assert decide(lenient, math.nan, 10, 0) == PROCEED


def test_no_more_than_the_allowed_number_of_updates_is_skipped_in_a_row() -> None:
    assert decide(ARMED, 80.0, 10, 2) == SKIP
    assert decide(ARMED, 80.0, 11, 3) == Decision(clip=2.0 / (80.0 + 1e-6))
    assert decide(ARMED, math.nan, 11, 3) == PROCEED


def test_the_guard_expires_after_its_last_step() -> None:
    assert decide(ARMED, math.nan, 300, 0) == SKIP
    assert decide(ARMED, math.nan, 301, 0) == PROCEED


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
        }
    )
    second = first.after({"alerts": [{"id": "a", "state": "firing"}], "advice": "nonsense"})
    assert first.guard.max_norm == 3.0
    assert second.guard == first.guard
    assert [dict(item) for item in first.advice] == [{"action": "clip"}]
    assert second.advice == ()
    assert [alert["state"] for alert in second.alerts] == ["firing", "firing"]
    assert [alert["state"] for alert in first.alerts] == ["pending", "firing"]
