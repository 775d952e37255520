"""The three causes that lie in the learning rate: too high, jumped, not warmed up."""

import numpy as np
import pytest

from gradwatch_service.diagnose.actions.rate import warmup_steps
from gradwatch_service.domain import Facts
from tests.service.diagnose.faults import (
    data_outlier,
    learning_rate_jump,
    learning_rate_too_high,
    no_warm_up,
)
from tests.service.diagnose.situations import situation
from tests.service.diagnose.streams import healthy, tell


def test_too_high_scales_to_an_update_ratio_of_one_percent_and_goes_back() -> None:
    advised = tell(learning_rate_too_high(0.04)).advised("learning-rate-too-high")
    assert list(advised) == ["scale_lr", "rollback"]
    assert advised["scale_lr"]["factor"] == pytest.approx(0.25, rel=0.01)
    assert advised["scale_lr"]["lr"] == pytest.approx(2.5e-4, rel=0.01)
    assert advised["rollback"] == {
        "to_step": None,
        "latest_step": 107,
        "skip_data_to_step": 407,
    }


def test_too_high_goes_back_to_a_checkpoint_it_knows() -> None:
    stream = learning_rate_too_high()
    stream.events = tuple({"kind": "checkpoint", "step": step} for step in (50, 90, 150))
    assert tell(stream).advised("learning-rate-too-high")["rollback"]["to_step"] == 90


def test_too_high_caps_a_schedule_that_rises() -> None:
    stream = learning_rate_too_high()
    stream.scalars["lr"] = 1e-3 * 1.01 ** np.arange(320)
    advised = tell(stream).advised("learning-rate-too-high")
    assert list(advised) == ["scale_lr", "cap_lr", "rollback"]
    assert advised["cap_lr"]["max_lr"] < 1e-3 * 1.01**225


def test_too_high_is_a_guess_while_no_updates_are_reported() -> None:
    stream = learning_rate_too_high()
    del stream.stats["update_norm"]
    part = tell(stream).parts["learning-rate-too-high"]
    assert part.confidence == 0.5
    assert "most often means that the learning rate of 0.001 is too high" in part.explanation


def test_too_high_is_not_blamed_for_one_bad_batch() -> None:
    assert "learning-rate-too-high" not in tell(data_outlier()).parts


def test_a_jump_caps_at_the_old_rate_and_warms_up_to_the_cap() -> None:
    told = tell(learning_rate_jump())
    assert list(told.parts) == ["learning-rate-jump"]
    assert told.signs("learning-rate-jump") == {"rate-jumped": 4.0, "updates-rose": 2.0}
    advised = told.advised("learning-rate-jump")
    assert advised["cap_lr"] == {"max_lr": 1.25e-3}
    assert advised["warmup_lr"] == {"steps": 100, "target_lr": 1.25e-3, "start_factor": 0.01}


@pytest.mark.parametrize("jump", [100, 280])
def test_a_jump_long_before_or_after_the_onset_is_not_blamed(jump: int) -> None:
    stream = learning_rate_too_high()
    stream.scalars["lr"][jump:] *= 10
    parts = tell(stream).parts
    assert parts["learning-rate-too-high"].state == "firing"
    assert "learning-rate-jump" not in parts


def test_no_warm_up_takes_two_over_one_minus_beta2_steps() -> None:
    told = tell(no_warm_up())
    assert told.advised("no-warm-up") == {
        "warmup_lr": {"steps": 200, "target_lr": 1e-3, "start_factor": 0.01}
    }
    assert told.signs("no-warm-up") == {"full-rate-at-once": 3.0, "adaptive-optimizer": 2.0}
    assert told.story[0] == ("firing", "no-warm-up", 4)


@pytest.mark.parametrize(
    ("facts", "steps"),
    [
        (Facts(), 100),
        (Facts(optimizer="adam"), 2000),
        (Facts(optimizer="adam", beta2=0.95), 100),
        (Facts(optimizer="adam", beta2=1.0), 100),
    ],
)
def test_no_warm_up_takes_at_least_a_hundred_steps(facts: Facts, steps: int) -> None:
    stream = no_warm_up()
    stream.facts = facts
    told = tell(stream)
    suspects = [one.cause for part in told.parts.values() for one in part.causes]
    assert "no-warm-up" in suspects
    assert warmup_steps(situation(facts=facts)) == steps


@pytest.mark.parametrize(("rate", "cause"), [(1e-3, "no-warm-up"), (0.1, "learning-rate-too-high")])
def test_adam_at_an_unusual_rate_needs_a_lower_rate_not_a_warm_up(rate: float, cause: str) -> None:
    stream = no_warm_up()
    stream.scalars["lr"][:] = rate
    part = tell(stream).parts[cause]
    assert {one.cause for one in part.causes} == {"no-warm-up", "learning-rate-too-high"}


def test_a_run_that_warms_up_has_another_problem() -> None:
    stream = healthy(120)
    stream.scalars["lr"] = np.minimum(np.arange(1, 121) / 100, 1.0)
    stream.update_ratio(10, 0.5)
    assert list(tell(stream).parts) == ["learning-rate-too-high"]
