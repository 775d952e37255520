from __future__ import annotations

import math
from typing import Any

import pytest

from tests.client.autopilot.service_says import Job, advice, firing, resolved

RATIO = {"metric": "update_ratio", "op": "<", "value": 0.01, "within_steps": 32}
OTHERS = {"cause": "one-layer", "rule": "layer-spike"}


@pytest.mark.parametrize(
    ("op", "value", "found", "status"),
    [
        ("<", 0.01, 0.009, "verified"),
        ("<", 0.01, 0.01, "failed"),
        ("<=", 2.0, 2.0, "verified"),
        (">", 1e-6, 1e-7, "failed"),
        (">=", 4.0, 4.0, "verified"),
        ("==", 0.0, 0.0, "verified"),
        ("==", 0.0, 1.0, "failed"),
        ("<", 0.01, math.inf, "failed"),
        ("<", 0.01, math.nan, "failed"),
    ],
)
def test_a_metric_is_compared_when_the_time_is_over(
    op: str, value: float, found: float, status: str
) -> None:
    check = {"metric": "loss", "op": op, "value": value, "within_steps": 32}
    job = Job(news=firing(advice("cap_lr", verify=check)), median=lambda _: found)
    job.until(40)
    assert job.done == [(0, "cap_lr", "applied"), (32, "cap_lr", status)]


def test_a_metric_nobody_measures_is_judged_by_the_alert() -> None:
    check = {"metric": "update_ratio", "op": "<", "value": 0.01}
    fails = Job(news=firing(advice("cap_lr", verify=check)))
    fails.until(65)
    assert fails.done[-1] == (64, "cap_lr", "failed")
    helps = Job(news=firing(advice("cap_lr", verify=check)))
    helps.until(20)
    helps.news = resolved(helps.news)
    helps.until(65)
    assert helps.done[-1] == (64, "cap_lr", "verified")


def test_a_limit_that_is_none_is_judged_by_the_alert() -> None:
    check = {"metric": "grad_norm", "op": "<=", "value": None, "within_steps": 8}
    job = Job(news=firing(advice("cap_lr", verify=check)), median=lambda _: 1.0)
    job.until(10)
    assert job.done[-1] == (8, "cap_lr", "failed")


@pytest.mark.parametrize(
    ("still", "status"),
    [
        ({"id": "other", "cause": "one-layer", "rule": "update-ratio-high"}, "failed"),
        ({"id": "other", "cause": "learning-rate-too-high", "rule": "loss-spike"}, "failed"),
        ({"id": "other", **OTHERS}, "verified"),
        ({"id": "other", **OTHERS, "state": "resolved"}, "verified"),
    ],
)
def test_a_rule_is_absent_when_no_open_alert_shows_it_or_its_cause(
    still: dict[str, Any], status: str
) -> None:
    job = Job(news=firing(advice("cap_lr")))
    job.until(1)
    job.news = firing(before=resolved(job.news), **still)
    job.until(65)
    assert job.done[-1] == (64, "cap_lr", status)


def test_after_a_failure_the_next_action_is_tried_and_the_failed_one_never() -> None:
    job = Job(news=firing(advice("cap_lr"), advice("scale_lr"), advice("set_adam")))
    job.until(500)
    assert job.done == [
        (0, "cap_lr", "applied"),
        (64, "cap_lr", "failed"),
        (64, "scale_lr", "applied"),
        (128, "scale_lr", "failed"),
        (128, "set_adam", "applied"),
        (192, "set_adam", "failed"),
        (192, "set_adam", "undone"),
    ]


def test_what_helped_gets_time_for_its_alert_to_end() -> None:
    job = Job(
        news=firing(advice("cap_lr", verify=RATIO), advice("set_adam")), median=lambda _: 0.001
    )
    job.until(65)
    assert job.done == [
        (0, "cap_lr", "applied"),
        (32, "cap_lr", "verified"),
        (64, "set_adam", "applied"),
    ]


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("set_adam", {"beta2": 0.95}),
        ("shrink_layer_grad", {}),
        ("truncate_bptt", {}),
        ("scale_lr", {"factor": 10.0}),
    ],
)
def test_what_did_not_help_is_undone(action: str, params: dict[str, Any]) -> None:
    job = Job(news=firing(advice(action, params=params)))
    job.until(65)
    assert job.done[1:] == [(64, action, "failed"), (64, action, "undone")]


@pytest.mark.parametrize("action", ["scale_lr", "cap_lr", "warmup_lr", "clip_grad_norm"])
def test_a_lower_rate_and_the_guard_stay_although_they_did_not_help(action: str) -> None:
    job = Job(news=firing(advice(action)))
    job.until(65)
    assert job.done == [(0, action, "applied"), (64, action, "failed")]


def test_class_1_does_not_hold_back_bolder_actions() -> None:
    job = Job(news=firing(advice("clip_grad_norm"), advice("cap_lr")))
    job.until(65)
    assert job.done == [
        (0, "clip_grad_norm", "applied"),
        (0, "cap_lr", "applied"),
        (64, "clip_grad_norm", "failed"),
        (64, "cap_lr", "failed"),
    ]
