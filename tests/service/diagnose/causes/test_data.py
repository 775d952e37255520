"""The causes that come with a batch or the number format: outliers, shifts, NaN, fp16, clipping."""

import numpy as np
import pytest

from gradwatch_service.domain import Severity
from tests.service.diagnose.faults import (
    clip_missing_or_loose,
    data_outlier,
    distribution_shift,
    explosion_through_time,
    fp16_overflow,
    fp16_underflow,
    heavy_tailed,
    non_finite_input,
    spikes,
)
from tests.service.diagnose.streams import Stream, healthy, mlp, tell


def test_one_bad_batch_is_skipped_by_the_guard_and_left_out() -> None:
    told = tell(data_outlier())
    assert list(told.parts) == ["data-outlier"]
    advised = told.advised("data-outlier")
    assert advised["skip_step"] == {
        "skip_above": pytest.approx(39.4, rel=0.01),
        "skip_nonfinite": True,
        "max_consecutive_skips": 4,
    }
    assert advised["skip_batches"] == {"from_step": 200, "to_step": 200}
    assert told.signs("data-outlier") == {
        "out-of-the-blue": 4.0,
        "isolated": 3.0,
        "loss-jumps-too": 2.0,
    }


def test_a_loss_that_jumps_without_the_gradient_is_a_lone_sign() -> None:
    told = tell(data_outlier(height=1.0, loss=3.0))
    assert told.signs("data-outlier") == {"isolated": 3.0}


def test_spikes_that_recur_are_not_outliers_but_lack_clipping() -> None:
    told = tell(clip_missing_or_loose())
    fired = [event for event in told.story if event[0] == "firing" and event[1] != "plateau"]
    assert fired == [
        ("firing", "data-outlier", 400),
        ("firing", "data-outlier", 600),
        ("firing", "data-outlier", 800),
        ("firing", "clip-missing-or-loose", 1000),
    ]
    advised = told.advised("clip-missing-or-loose")
    assert list(advised) == ["clip_grad_norm", "skip_step"]
    assert advised["clip_grad_norm"]["max_norm"] == pytest.approx(3.04, rel=0.01)


@pytest.mark.parametrize(("limit", "missing"), [(3.0, False), (30.0, True)])
def test_clipping_is_loose_from_eight_times_the_limit_on(limit: float, missing: bool) -> None:
    stream = clip_missing_or_loose()
    stream.scalars["clip_norm"] = np.full(len(stream), limit)
    told = tell(stream)
    fired = [event for event in told.story if event[0] == "firing"]
    assert (("firing", "clip-missing-or-loose", 1000) in fired) is missing
    assert (("firing", "data-outlier", 1000) in fired) is not missing


def test_growth_of_unknown_origin_is_clipped() -> None:
    stream = healthy(200)
    stream.multiply_norms(120, 2.0 ** (0.2 * np.arange(80)))
    told = tell(stream)
    assert told.signs("clip-missing-or-loose")["growth-not-clipped"] == 1.0
    part = told.parts["clip-missing-or-loose"]
    assert (part.state, part.actionable) == ("firing", False)
    assert "has been growing" in part.explanation


def test_a_recurring_spike_under_a_loose_limit_is_not_clipped() -> None:
    stream = clip_missing_or_loose()
    stream.scalars["clip_norm"] = np.full(len(stream), 25.0)
    parts = tell(stream.until(1001)).parts
    texts = [fact.text for fact in parts["clip-missing-or-loose"].evidence]
    assert any("the clipping limit 25 is at least 8 times too high" in text for text in texts)


def test_a_limit_that_was_lifted_is_to_blame_for_what_follows() -> None:
    stream = healthy(300)
    stream.scalars["clip_norm"] = np.where(np.arange(300) < 190, 2.0, np.nan)
    stream.update_ratio(200, 0.3)
    told = tell(stream)
    assert told.signs("clip-missing-or-loose") == {"limit-lifted": 6.0}
    assert told.parts["clip-missing-or-loose"].actionable
    stream.scalars["clip_norm"][190:] = 2.0
    assert "clip-missing-or-loose" not in tell(stream).parts


def test_a_nan_in_a_batch_is_skipped_and_searched_for() -> None:
    told = tell(non_finite_input())
    assert told.story == [
        ("firing", "non-finite-input", 100),
        ("resolved", "non-finite-input", 132),
    ]
    assert told.signs("non-finite-input") == {"forward-from-health": 4.0, "first-layer-first": 1.0}
    assert list(told.advised("non-finite-input")) == ["skip_step", "skip_batches", "check_input"]
    assert told.parts["non-finite-input"].actionable


def test_a_nan_after_an_explosion_belongs_to_the_explosion() -> None:
    stream = explosion_through_time()
    stream.scalars["loss"][200] = np.nan
    stream.stats["grad_norm"][200] = np.inf
    told = tell(stream)
    assert list(told.parts) == ["explosion-through-time"]
    assert told.parts["explosion-through-time"].rule == "explosion-through-time"


def test_a_nan_that_begins_in_the_backward_pass_is_a_guess() -> None:
    stream = healthy(200)
    stream.stats["grad_norm"][100, 2:] = np.inf
    part = tell(stream).parts["non-finite-input"]
    assert (part.confidence, part.layers[0]) == (0.5, "fc5")


def test_a_nan_of_the_batch_that_reached_the_weights_is_still_a_nan_of_the_batch() -> None:
    stream = non_finite_input()
    for name in ("weight_norm", "update_norm"):
        stream.stats[name][100:] = np.nan
    told = tell(stream)
    assert list(told.parts) == ["non-finite-input"]
    assert told.parts["non-finite-input"].severity.label == "critical"
    assert "stop" in told.advised("non-finite-input")


def test_weights_that_break_under_a_finite_loss_and_gradient_are_the_machine() -> None:
    stream = healthy(200)
    stream.stats["weight_norm"][100:, 2] = np.nan
    stream.scalars["loss"][101:] = np.nan
    told = tell(stream)
    assert told.signs("hardware-or-rank") == {"weights-alone": 5.0}
    assert "no update can have made of them" in told.parts["hardware-or-rank"].explanation


def test_a_gradient_that_overflows_half_precision_unskipped_is_an_overflow() -> None:
    stream = healthy(200, layers=mlp(6, dtype="float16"))
    stream.stats["grad_norm"][100, 2:] = np.inf
    told = tell(stream)
    assert told.signs("fp16-overflow") == {"gradient-alone": 4.0, "half-precision": 1.0}


def test_what_built_up_before_a_nan_takes_it() -> None:
    stream = non_finite_input()
    stream.update_ratio(60, 0.06)
    assert list(tell(stream).parts) == ["learning-rate-too-high"]


def test_half_precision_overflow_halves_the_loss_scale() -> None:
    told = tell(fp16_overflow())
    assert list(told.parts) == ["fp16-overflow"]
    advised = told.advised("fp16-overflow")
    assert advised["set_loss_scale"] == {"loss_scale": 2.0**15}
    assert list(advised) == ["set_loss_scale", "switch_precision"]
    assert told.signs("fp16-overflow") == {
        "infinities-without-headroom": 4.0,
        "half-precision": 1.0,
    }
    assert told.parts["fp16-overflow"].title.endswith("in fc0 (step 198)")


def unmeasured(dtype: str) -> Stream:
    """The loss scaler skips a step; nobody measured the largest gradient."""
    stream = fp16_overflow(dtype)
    del stream.stats["grad_max"]
    return stream


def test_without_a_measured_headroom_the_scalers_word_counts() -> None:
    told = tell(unmeasured("float16"))
    assert told.signs("fp16-overflow") == {"scaler-skips": 2.0, "half-precision": 1.0}
    assert told.parts["fp16-overflow"].severity.label == "info"


def test_bfloat16_does_not_overflow_like_half_precision() -> None:
    assert "fp16-overflow" not in tell(unmeasured("bfloat16")).parts


def test_a_new_level_of_loss_and_norm_is_a_shift_of_the_data() -> None:
    told = tell(distribution_shift())
    assert told.signs("distribution-shift") == {"new-level": 3.0, "phase-announced": 3.0}
    assert told.advised("distribution-shift") == {
        "warmup_lr": {"steps": 500, "target_lr": 1e-3, "start_factor": 0.01}
    }


def test_a_shift_needs_no_announcement_but_a_steady_rate() -> None:
    stream = distribution_shift()
    stream.events = ()
    assert tell(stream).signs("distribution-shift") == {"new-level": 3.0}
    stream.scalars["lr"][199:] *= 2
    assert "distribution-shift" not in tell(stream).parts


def test_small_gradients_in_half_precision_are_lifted_by_the_loss_scale() -> None:
    told = tell(fp16_underflow())
    assert told.signs("fp16-underflow") == {"underflow": 3.0, "zeros-rise": 2.0}
    advised = told.advised("fp16-underflow")
    assert advised["set_loss_scale"] == {"loss_scale": 16.0}
    assert advised["switch_precision"] == {"dtype": "float32"}


def test_zeros_in_single_precision_do_not_come_from_underflow() -> None:
    stream = fp16_underflow()
    stream.layers = mlp(6)
    stream.scalars["loss_scale"] = np.ones(400)
    assert "fp16-underflow" not in tell(stream).parts


def test_a_scale_that_collapses_is_an_overflow_that_goes_on() -> None:
    stream = healthy(400, layers=mlp(6, dtype="float16"))
    stream.scalars["found_inf"] = (np.arange(400) >= 200) * 1.0
    stream.scalars["loss_scale"] = 2.0 ** (16.0 - np.clip(np.arange(400) - 200, 0, 16))
    told = tell(stream)
    part = told.parts["fp16-overflow"]
    assert (part.rule, part.actionable) == ("loss-scale-collapse", True)
    assert told.signs("fp16-overflow")["scale-collapses"] == 3.0


def test_spikes_that_come_and_go_while_the_loss_falls_need_no_repair() -> None:
    told = tell(heavy_tailed())
    assert told.signs("heavy-tailed-but-healthy") == {"comes-and-goes": 3.0}
    assert next(iter(told.advised("heavy-tailed-but-healthy"))) == "arm_guard"
    assert not any(part.actionable for part in told.parts.values())


@pytest.mark.parametrize("trouble", ["loss", "updates"])
def test_spikes_in_a_run_that_does_not_learn_well_are_no_heavy_tails(trouble: str) -> None:
    stream = heavy_tailed()
    if trouble == "loss":
        stream.multiply_loss(0, 1.005 ** np.arange(900))
    else:
        stream.update_ratio(850, 0.3)
    part = tell(stream).parts.get("heavy-tailed-but-healthy")
    assert part is None or part.confidence < 0.7


def test_a_burst_of_bad_batches_is_left_out_as_a_whole() -> None:
    stream = healthy(300)
    stream.multiply_norms(200, 8.0, 205)
    stream.multiply_loss(200, 2.0, 205)
    told = tell(stream)
    assert told.signs("data-outlier")["isolated"] == 3.0
    assert told.advised("data-outlier")["skip_batches"] == {"from_step": 200, "to_step": 204}


def spoilt(loss: float = 300.0) -> Stream:
    """One terrible batch, whose update leaves loss and updates far above what they were."""
    stream = healthy(400)
    stream.multiply_norms(200, 500.0, 201)
    stream.multiply_loss(200, loss, 201)
    stream.multiply_loss(201, 4.0)
    stream.update_ratio(200, 0.06)
    return stream


def test_what_a_bad_batch_has_spoilt_is_still_its_doing() -> None:
    told = tell(spoilt())
    assert list(told.parts) == ["data-outlier"]
    part = told.parts["data-outlier"]
    assert (part.severity, part.actionable) == (Severity.ERROR, True)
    assert told.signs("data-outlier")["out-of-the-blue"] == 4.0


def test_a_loss_that_stays_where_it_jumped_to_is_no_bad_batch() -> None:
    assert "learning-rate-too-high" in tell(spoilt(loss=5.0)).parts


def test_a_gradient_that_jumps_without_the_loss_speaks_against_a_bad_batch() -> None:
    told = tell(data_outlier(height=40.0, loss=1.0))
    assert told.signs("data-outlier") == {"isolated": 3.0, "sudden": -2.0}


def test_gradients_on_the_grid_of_half_precision_are_its_underflow() -> None:
    stream = healthy(120)
    stream.stats["grad_norm"][:] = 0.0
    stream.stats["grad_norm"][:, 0] = stream.stats["grad_norm"][::3, 1] = 1e-9
    stream.stats["grad_max"] = np.full_like(stream.stats["grad_norm"], 2.0**-24)
    assert "vanishing-gradients" in tell(stream).parts
    stream.scalars["loss_scale"] = np.ones(120)
    assert tell(stream).signs("fp16-underflow")["on-the-grid"] == 6.0
    stream.stats["grad_max"] *= 1.01
    assert list(tell(stream).parts) == ["vanishing-gradients"]


def test_a_spike_that_ends_in_nan_is_no_outlier_but_unclipped() -> None:
    stream = spikes(200, height=10.0)
    for name, values in stream.stats.items():
        if name != "weight_norm":
            values[202:] = np.nan
    stream.scalars["loss"][202:] = np.nan
    told = tell(stream)
    firing = [cause for cause, part in told.parts.items() if part.state == "firing"]
    assert firing == ["clip-missing-or-loose"]
    assert told.signs("clip-missing-or-loose") == {"spike-broke": 3.0}
