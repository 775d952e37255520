from __future__ import annotations

from typing import Any

import pytest

from gradwatch.autopilot.advice import read_advice
from gradwatch.autopilot.choice import is_permitted
from gradwatch.news import News
from tests.client.autopilot.service_says import ALERT, Job, advice, alert, firing, resolved


@pytest.mark.parametrize(
    ("level", "acts"),
    [
        (1, ["clip_grad_norm"]),
        (2, ["clip_grad_norm", "scale_lr"]),
        (3, ["clip_grad_norm", "scale_lr"]),
    ],
)
def test_a_level_covers_its_class_and_those_below(level: int, acts: list[str]) -> None:
    news = firing(advice("clip_grad_norm"), advice("scale_lr"), advice("reset_moments"))
    job = Job(level, news=news)
    job.until(1)
    assert [action for _, action, _ in job.done] == acts


@pytest.mark.parametrize(
    ("action", "told", "about", "level"),
    [
        ("clip_grad_norm", {"confidence": 0.1}, {"severity": "info", "actionable": False}, 1),
        ("scale_lr", {"confidence": 0.7}, {}, 2),
        ("scale_lr", {"confidence": 0.69}, {}, None),
        ("scale_lr", {}, {"severity": "warning"}, 2),
        ("scale_lr", {}, {"severity": "warning", "actionable": False}, None),
        ("scale_lr", {"severity": "error"}, {"severity": "warning", "actionable": False}, 2),
        ("reset_moments", {"confidence": 0.85}, {}, 3),
        ("reset_moments", {"confidence": 0.84}, {}, None),
        ("reset_moments", {}, {"severity": "warning"}, None),
        ("stop", {}, {"severity": "critical"}, None),
    ],
)
def test_confidence_and_gravity_decide_too(
    action: str, told: dict[str, Any], about: dict[str, Any], level: int | None
) -> None:
    (one,) = read_advice(firing(advice(action, **told), **about))
    covered = [number for number in (1, 2, 3) if is_permitted(one, number)]
    assert covered == ([] if level is None else list(range(level, 4)))


def test_advice_waits_for_its_step_and_expires() -> None:
    job = Job(news=firing(advice("scale_lr", apply_at_step=7, expires_step=9)))
    job.until(20)
    assert job.done == [(7, "scale_lr", "applied")]
    late = Job(news=firing(advice("scale_lr", expires_step=9)), step=10)
    late.until(20)
    assert late.done == []


def test_advice_is_followed_once_while_its_alert_lasts() -> None:
    job = Job(news=firing(advice("scale_lr")))
    job.until(50)
    job.news = firing(advice("scale_lr", apply_at_step=51), before=job.news)
    job.until(60)
    assert job.done == [(0, "scale_lr", "applied")]


def test_the_same_advice_counts_anew_when_the_alert_has_come_back() -> None:
    job = Job(news=firing(advice("scale_lr")))
    job.until(70)
    job.news = resolved(job.news)
    job.until(100)
    job.news = firing(advice("scale_lr"), before=job.news)
    job.until(110)
    assert job.done[-1] == (64, "scale_lr", "failed")  # what was said before is spent
    job.news = firing(advice("scale_lr", apply_at_step=110), before=job.news)
    job.until(120)
    assert job.done[-1] == (110, "scale_lr", "applied")


def test_when_trouble_comes_back_something_untried_is_preferred() -> None:
    job = Job(news=firing(advice("scale_lr")))
    job.until(70)
    job.news = resolved(job.news)
    job.until(100)
    again = [advice(action, turn=1) for action in ("scale_lr", "rollback", "cap_lr")]
    job.news = firing(*again, before=job.news)
    job.until(101)
    assert job.done[-1] == (100, "cap_lr", "applied")


def test_what_cannot_be_done_is_declined_and_the_next_is_tried() -> None:
    job = Job(
        news=firing(advice("shrink_layer_grad"), advice("skip_batches"), advice("scale_lr")),
        cannot=frozenset({"shrink_layer_grad", "skip_batches"}),
    )
    job.until(5)
    assert job.done == [
        (0, "shrink_layer_grad", "declined"),
        (1, "skip_batches", "declined"),
        (2, "scale_lr", "applied"),
    ]


def test_what_the_user_does_not_allow_is_passed_over_without_a_word() -> None:
    job = Job(2, news=firing(advice("reinit_layers"), advice("stop"), advice("scale_lr")))
    job.until(1)
    assert job.done == [(0, "scale_lr", "applied")]


def several(count: int) -> News:
    """So many alerts, each with advice of its own."""
    names = [f"alert-{number}" for number in range(count)]
    told = {
        "health": "critical",
        "alerts": [alert(name) for name in names],
        "advice": [advice("set_adam", name) for name in names],
    }
    return News().after(told)


def test_one_action_in_64_steps_and_three_in_1000() -> None:
    job = Job(news=several(5))
    job.until(1100)
    applied = [step for step, _, status in job.done if status == "applied"]
    assert applied == [0, 64, 128, 1000, 1064]


def test_when_the_quota_is_used_up_class_3_may_still_act() -> None:
    job = Job(news=several(3))
    job.until(192)
    job.news = job.news.after(
        {
            "advice": [
                advice(x, "alert-0", 1, severity="error") for x in ("set_adam", "reset_moments")
            ]
        }
    )
    job.until(193)
    assert job.done[-1] == (192, "reset_moments", "applied")


def test_the_learning_rate_never_falls_below_a_64th() -> None:
    job = Job()
    for turn in range(4):
        job.news = firing(advice("scale_lr", turn=turn, params={"factor": 0.2}), before=job.news)
        job.until(job.step + 100)
        job.news = resolved(job.news)
        job.until(job.step + 300)
    statuses = [status for _, _, status in job.done if status in ("applied", "declined")]
    assert statuses == ["applied", "applied", "declined", "declined"]
    assert "0.04 of its schedule already" in job.orders[-1].text


def test_weights_are_initialised_anew_only_at_the_start() -> None:
    early, late = Job(news=firing(advice("reinit_layers"))), Job(step=100)
    early.until(1)
    assert early.done == [(0, "reinit_layers", "applied")]
    late.until(132)
    late.news = firing(advice("reinit_layers"), advice("scale_lr"))
    late.until(140)
    assert late.done == [(132, "reinit_layers", "declined"), (133, "scale_lr", "applied")]


def test_an_alert_of_another_rank_is_known_by_its_advice() -> None:
    told = {"health": "critical", "advice": [advice("scale_lr", severity="error")]}
    job = Job(news=News().after(told))
    job.until(64)
    assert job.done == [(0, "scale_lr", "applied")]
    assert job.state.is_open(ALERT)
    job.until(65)
    assert job.done[-1] == (64, "scale_lr", "failed")
