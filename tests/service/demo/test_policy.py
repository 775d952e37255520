"""Advice is followed as far as the user of the demo's job allowed, and not more often."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gradwatch.off import OffRun
from gradwatch_service.demo.policy import ALONE, Plan, follow, guided

PLAN = Plan(horizon=60)


def advice(action: str, klass: int = 2, confidence: float = 0.8, **params: Any) -> dict[str, Any]:
    return {
        "action": action,
        "class": klass,
        "confidence": confidence,
        "title": f"Do {action}",
        "params": params,
    }


def test_the_first_advice_of_class_2_that_it_can_carry_out_is_followed() -> None:
    offered = [
        advice("clip_grad_norm", klass=1, max_norm=2.0),
        advice("warmup_lr", steps=100),
        advice("truncate_bptt", time_steps=40),
        advice("scale_lr", factor=0.5),
    ]
    plan = follow(PLAN, offered, step=119)
    assert plan.horizon == 40
    assert plan.rate_factor == 1.0
    assert plan.applied == ((120, "Do truncate_bptt"),)


@pytest.mark.parametrize(
    "offered",
    [
        advice("reinit_layers", klass=3),
        advice("change_model", klass=4),
        advice("truncate_bptt", confidence=0.69, time_steps=40),
    ],
)
def test_what_a_person_decides_or_is_unsure_is_left_alone(offered: dict[str, Any]) -> None:
    assert follow(PLAN, [offered], step=9) is PLAN


def test_one_piece_of_advice_in_64_steps_and_none_twice() -> None:
    offered = [advice("scale_lr", factor=0.5), advice("cap_lr", max_lr=1e-3)]
    first = follow(PLAN, offered, step=99)
    assert follow(first, offered, step=163) is first
    second = follow(first, offered, step=164)
    assert second.applied == ((100, "Do scale_lr"), (165, "Do cap_lr"))
    assert follow(second, offered, step=400) is second


def test_the_plan_scales_and_caps_the_scheduled_rate() -> None:
    assert PLAN.rate(0.3) == 0.3
    assert Plan(60, rate_factor=0.5).rate(0.3) == 0.15
    assert Plan(60, rate_limit=0.1).rate(0.3) == 0.1
    assert PLAN.rate_limit == math.inf


def test_a_horizon_is_never_lengthened() -> None:
    assert follow(Plan(30), [advice("truncate_bptt", time_steps=40)], step=0).horizon == 30


def test_alone_no_gradient_is_touched_and_no_advice_followed() -> None:
    assert ALONE.decide(math.inf, 3).clip == 1.0
    assert not ALONE.decide(math.nan, 3).skip
    assert ALONE.adapt(PLAN, 3) is PLAN


def test_guided_by_a_run_that_is_switched_off_it_is_as_if_alone() -> None:
    policy = guided(OffRun())
    assert not policy.decide(1e9, 0).skip
    assert policy.adapt(PLAN, 0) is PLAN
