"""What a person hands to the job is done once, whatever its confidence, within the level."""

from __future__ import annotations

import pytest

from tests.client.autopilot.service_says import Job, advice, firing, resolved

UNSURE = {"confidence": 0.1, "handed_by": "ada"}


def test_it_is_done_once_though_nothing_else_would_choose_it() -> None:
    alone = Job(2, news=firing(advice("scale_lr", confidence=0.1)))
    alone.until(70)
    assert alone.done == []
    job = Job(2, news=firing(advice("scale_lr", **UNSURE), severity="info", actionable=False))
    job.until(70)
    assert job.done == [(0, "scale_lr", "applied"), (64, "scale_lr", "failed")]
    assert job.orders[0].params == {"factor": 0.5}


def test_it_goes_before_what_the_autopilot_would_choose_and_need_not_wait_for_it() -> None:
    first = advice("cap_lr")
    job = Job(3, news=firing(first))
    job.until(5)
    job.news = firing(advice("reset_moments", **UNSURE), first, before=job.news)
    job.until(10)
    assert job.done == [(0, "cap_lr", "applied"), (5, "reset_moments", "applied")]


@pytest.mark.parametrize(
    ("level", "action", "reason"),
    [
        (1, "rollback", "this job runs with autopilot=1, this needs 3"),
        (1, "scale_lr", "this job runs with autopilot=1, this needs 2"),
        (2, "reset_moments", "this job runs with autopilot=2, this needs 3"),
        (3, "stop", "only a person can do this"),
        (3, "rollback", "no checkpoint of its own at or before step 0"),
    ],
)
def test_what_the_user_does_not_allow_is_declined_and_says_why(
    level: int, action: str, reason: str
) -> None:
    job = Job(level, news=firing(advice(action, **UNSURE)))
    job.until(20)
    assert job.done == [(0, action, "declined")]
    assert job.orders[0].text == f"Do {action}: {reason}"
    assert job.state.answered == {f"alert-lr/{action}/0"}


def test_what_came_too_late_is_declined() -> None:
    job = Job(2, news=firing(advice("scale_lr", expires_step=9, **UNSURE)), step=10)
    job.until(12)
    assert job.done == [(10, "scale_lr", "declined")]
    assert job.orders[0].text.endswith("this was good until step 9")


def test_what_is_in_force_is_not_done_twice_and_stays_under_its_check() -> None:
    job = Job(2, news=firing(advice("scale_lr")))
    job.until(3)
    job.news = firing(advice("scale_lr", handed_by="ada"), before=job.news)
    job.until(65)
    assert job.done == [
        (0, "scale_lr", "applied"),
        (3, "scale_lr", "declined"),
        (64, "scale_lr", "failed"),
    ]
    assert job.orders[1].text.endswith("done at step 0 already")


def test_what_was_declined_can_be_handed_again() -> None:
    job = Job(3, news=firing(advice("rollback", **UNSURE)), save_every=70)
    job.until(1)
    assert job.done[0] == (0, "rollback", "declined")
    job.news = firing(before=job.news)
    job.until(101)
    job.news = firing(advice("rollback", **UNSURE), before=job.news)
    job.until(103)
    assert job.done[-1] == (101, "rollback", "applied")


def test_when_the_alert_came_back_the_old_wish_is_not_done_again_but_a_new_one_is() -> None:
    job = Job(2, news=firing(advice("scale_lr", **UNSURE)))
    job.until(70)
    wished = job.news
    job.news = resolved(wished)
    job.until(80)
    job.news = firing(advice("scale_lr", confidence=0.1), before=job.news)
    job.until(90)
    assert [status for _, _, status in job.done].count("applied") == 1
    job.news = firing(advice("scale_lr", **UNSURE), before=job.news)
    job.until(95)
    assert job.done[-1] == (90, "scale_lr", "applied")


def test_one_wish_is_answered_at_a_step() -> None:
    job = Job(2, news=firing(advice("scale_lr", **UNSURE), advice("set_adam", **UNSURE)))
    job.until(5)
    assert job.done == [(0, "scale_lr", "applied"), (1, "set_adam", "applied")]
