"""The causes in the optimizer and the job: second moment, clipping, weights, ranks, pace."""

import numpy as np
import pytest

from gradwatch_service.domain import Facts
from tests.service.diagnose.faults import (
    adam_second_moment,
    clip_too_tight,
    hardware_or_rank,
    learning_rate_too_high,
    learning_rate_too_low,
    plateau,
    stalled_job,
    vanishing_gradients,
    weights_growing,
)
from tests.service.diagnose.streams import Stream, healthy, tell


def test_a_second_moment_that_lags_gets_a_shorter_memory_or_is_forgotten() -> None:
    told = tell(adam_second_moment())
    assert told.signs("adam-second-moment") == {"moment-lags": 3.0, "long-memory": 1.0}
    advised = told.advised("adam-second-moment")
    assert list(advised) == ["set_adam", "reset_moments", "checkpoint_now"]
    assert advised["set_adam"] == {"beta2": 0.95}


@pytest.mark.parametrize(
    ("facts", "long"),
    [
        (Facts(optimizer="adam"), True),
        (Facts(optimizer="adam", beta2=0.99), True),
        (Facts(optimizer="adam", beta2=0.95), False),
        (Facts(optimizer="sgd"), False),
    ],
)
def test_the_memory_is_long_from_beta2_99_percent_on_and_by_default(
    facts: Facts, long: bool
) -> None:
    stream = adam_second_moment()
    stream.facts = facts
    assert ("long-memory" in tell(stream).signs("adam-second-moment")) is long


def test_clipping_that_sets_the_pace_is_raised_to_the_healthy_range() -> None:
    told = tell(clip_too_tight())
    assert list(told.parts) == ["clip-too-tight"]
    signs = {"most-steps-clipped": 4.0, "loss-stands-still": 2.0}
    assert told.signs("clip-too-tight") == signs
    limit = told.advised("clip-too-tight")["clip_grad_norm"]["max_norm"]
    assert limit == pytest.approx(3.04, rel=0.02)


def test_steps_are_clipped_in_an_explosion_without_the_limit_being_to_blame() -> None:
    stream = learning_rate_too_high()
    stream.scalars["clip_norm"] = np.full(320, 0.5)
    parts = tell(stream).parts
    assert [cause for cause, part in parts.items() if part.actionable] == ["learning-rate-too-high"]


def test_growing_weights_get_decay_then_bounds_then_a_capped_rate() -> None:
    told = tell(weights_growing())
    assert told.signs("weights-growing") == {"weights-grow": 3.0, "no-weight-decay": 1.0}
    advised = told.advised("weights-growing")
    assert list(advised) == ["set_weight_decay", "change_model", "cap_lr"]
    assert advised["set_weight_decay"] == {"weight_decay": 0.01}
    assert advised["cap_lr"] == {"max_lr": 1e-3}


def test_growing_weights_of_a_job_that_does_not_tell_its_rate_or_decay() -> None:
    stream = weights_growing()
    stream.facts = Facts()
    del stream.scalars["lr"]
    told = tell(stream)
    assert told.signs("weights-growing") == {"weights-grow": 3.0}
    assert "cap_lr" not in told.advised("weights-growing")


def test_a_replica_that_drifts_away_is_named_and_taken_out() -> None:
    told = tell(hardware_or_rank())
    assert told.story == [("firing", "hardware-or-rank", 201)]
    part = told.parts["hardware-or-rank"]
    assert "the numbers of rank2 differ" in part.explanation
    assert told.advised("hardware-or-rank")["quarantine_rank"] == {"writer": "rank2"}
    assert list(told.advised("hardware-or-rank")) == ["quarantine_rank", "rollback"]


def test_ranks_that_agree_are_no_finding() -> None:
    stream = hardware_or_rank()
    stream.stats["rank_grad_norm"][200:, 2] /= 1.01
    assert tell(stream).parts == {}


def test_a_job_that_slows_down_is_looked_into() -> None:
    told = tell(stalled_job())
    part = told.parts["stalled-job"]
    assert (part.rule, part.actionable) == ("slow-run", False)
    assert "far more slowly" in part.explanation
    assert "py-spy dump" in part.advice[0].code


def test_a_rate_far_too_low_is_raised_until_a_step_changes_something() -> None:
    told = tell(learning_rate_too_low())
    assert told.signs("learning-rate-too-low") == {"updates-tiny": 4.0}
    assert told.advised("learning-rate-too-low")["scale_lr"] == {
        "factor": 1000.0,
        "lr": pytest.approx(1e-4),
    }
    assert told.parts["learning-rate-too-low"].confidence >= 0.7


def test_a_standstill_at_tiny_updates_is_the_rate_at_usual_ones_a_plateau() -> None:
    assert list(tell(plateau()).parts) == ["plateau"]
    stream = plateau()
    stream.update_ratio(0, 1e-8)
    told = tell(stream)
    assert list(told.parts) == ["learning-rate-too-low"]
    assert "loss-stands-still" in told.signs("learning-rate-too-low")


def test_a_plateau_is_never_sure_enough_for_an_action_of_its_own() -> None:
    part = tell(plateau()).parts["plateau"]
    assert [(one.action, one.confidence) for one in part.advice] == [("scale_lr", 0.5)]


def test_tiny_updates_of_vanishing_gradients_are_not_the_rate() -> None:
    stream = vanishing_gradients()
    stream.update_ratio(0, 1e-8)
    assert "learning-rate-too-low" not in tell(stream).parts


def test_no_rate_is_too_low_at_the_end_of_a_schedule() -> None:
    stream = healthy(240)
    stream.scalars["lr"][100:] = 1e-9
    stream.update_ratio(100, 1e-9)
    assert tell(stream).parts == {}


def amplified(factor: float = 60.0) -> Stream:
    """At report 200 the gradients are multiplied, and the second moment does not know it yet."""
    stream = healthy(260)
    stream.facts = Facts(optimizer="adam", beta2=0.9999)
    stream.multiply_norms(200, factor)
    stream.update_ratio(200, 0.3)
    stream.stats["moment_rms"] = np.ones((260, 6))
    stream.stats["moment_rms"][200:] = factor
    return stream


def test_gradients_that_jump_past_a_long_memory_are_known_by_the_lag_of_that_report() -> None:
    told = tell(amplified())
    assert told.story[0][:2] == ("firing", "adam-second-moment")
    assert told.signs("adam-second-moment") == {
        "moment-lags": 3.0,
        "sudden": 2.0,
        "long-memory": 1.0,
    }


def test_a_lag_in_one_report_says_nothing_while_gradients_are_as_usual() -> None:
    stream = healthy(260)
    stream.facts = Facts(optimizer="adam", beta2=0.9999)
    stream.stats["moment_rms"] = np.full((260, 6), 3.0)
    stream.update_ratio(80, 0.3, 84)
    assert "adam-second-moment" not in tell(stream.until(90)).parts
