"""The guard: its numbers, and that an explosion does not move them."""

import numpy as np
import pytest

from gradwatch_service.detect.fixedpoint import bits
from gradwatch_service.diagnose.guard import EXPLOSIVE, Norms, armed, capacity, skip_above
from gradwatch_service.domain import Guard
from tests.service.diagnose.faults import (
    explosion_through_time,
    learning_rate_too_high,
    spikes,
)
from tests.service.diagnose.streams import Stream, healthy, tell


def normed(*norms: float) -> Stream:
    """A run that reports these global norms and nothing else but the loss."""
    stream = healthy(len(norms))
    stream.stats = {}
    stream.scalars["grad_norm"] = np.array(norms)
    return stream


def limit(*norms: float) -> float | None:
    return tell(normed(*norms)).state.norms.max_norm


def test_no_limit_before_four_reports_then_ten_medians_then_the_percentile() -> None:
    assert limit(1, 1, 1) is None
    assert limit(1, 2, 2, 8) == 20.0
    assert limit(*[2.0] * 20) == 20.0
    assert limit(*[2.0] * 32) == 2.0


def test_the_limit_is_the_percentile_of_the_accepted_norms() -> None:
    norms = [1.0] * 38 + [2.0, 4.0] + [1.0] * 40  # 48 of 80 are past probation at report 80
    assert limit(*norms) == 2.0


def test_the_limit_is_at_least_half_the_mean_and_at_most_ten_means() -> None:
    skewed = [1.0] + [2.0**-20] * 31
    assert limit(*skewed) == 10 * (31 * 2.0**-20 + 1) / 32
    assert limit(*([1.0] * 32)) == 1.0


def test_zero_and_non_finite_norms_are_not_accepted() -> None:
    assert limit(*[0.0, np.nan, np.inf] * 10) is None
    assert limit(*[0.0, 1.0] * 16) == 10.0


def test_a_healthy_run_is_clipped_at_ten_times_its_mean() -> None:
    assert tell(normed(*[2.0] * 80)).state.guard.max_norm == 20.0
    stream = explosion_through_time()
    told = tell(stream).state
    assert told.guard.max_norm == told.norms.max_norm
    assert told.norms.loose is not None
    assert told.norms.loose > told.norms.max_norm


def test_norms_over_the_skip_limit_are_not_accepted() -> None:
    calm = tell(healthy(400)).state.norms.max_norm
    assert tell(spikes(*range(80, 400, 40), height=60.0, reports=400)).state.norms.max_norm == (
        pytest.approx(calm, rel=0.06)
    )


def test_the_limit_stays_at_the_healthy_level_while_the_norm_grows() -> None:
    stream = explosion_through_time()
    before = tell(stream.until(120)).state.norms.max_norm
    assert before is not None
    assert tell(stream).state.norms.max_norm == pytest.approx(before, rel=0.1)
    assert tell(learning_rate_too_high()).state.norms.max_norm == pytest.approx(3.04, rel=0.01)


def test_growth_that_no_profile_announces_is_kept_out_by_the_probation() -> None:
    stream = healthy(200)
    before = tell(stream.until(120)).state.norms.max_norm
    stream.multiply_norms(120, 2.0 ** (0.2 * np.arange(80)))
    told = tell(stream)
    assert "growth-not-clipped" in told.signs("clip-missing-or-loose")
    assert told.state.norms.max_norm == pytest.approx(before, rel=0.1)


def test_a_run_in_trouble_from_the_first_report_still_gets_a_loose_limit() -> None:
    stream = healthy(100)
    stream.update_ratio(0, 0.5)
    guard = tell(stream).state.guard
    first = np.sqrt((stream.stats["grad_norm"][:4] ** 2).sum(axis=1))
    assert guard.max_norm == pytest.approx(10 * np.sort(first)[2], rel=1e-3)


def test_a_net_that_explodes_through_time_from_the_start_gets_an_exact_limit() -> None:
    stream = explosion_through_time()
    assert stream.profile is not None
    stream.profile[:] = stream.profile[-1]
    norms = np.sqrt((stream.stats["grad_norm"][:32] ** 2).sum(axis=1))
    guard = tell(stream).state.guard
    assert guard.max_norm == pytest.approx(np.sort(norms)[31], rel=1e-3)


def test_a_new_level_is_learnt_once_it_has_lasted() -> None:
    stream = healthy(500)
    stream.multiply_norms(200, 3.0)
    old = tell(stream.until(200)).state.norms.max_norm
    assert old is not None
    assert tell(stream.until(210)).state.norms.max_norm == pytest.approx(old, rel=0.05)
    assert tell(stream).state.norms.max_norm == pytest.approx(3 * old, rel=0.1)


def test_skips_above_the_usual_norm_by_four_to_ten_bits() -> None:
    assert skip_above(True, bits(1), bits(0.1), 6.0) == 32.0
    assert skip_above(True, bits(1), bits(1), 6.0) == 128.0
    assert skip_above(True, bits(1), bits(5), 6.0) == 2048.0
    assert skip_above(True, bits(1020), bits(1), 6.0) is None
    assert skip_above(False, bits(1), bits(1), 6.0) is None


def test_there_is_no_skip_limit_before_the_baseline_is_ready() -> None:
    assert tell(healthy(31)).state.guard.skip_above is None
    assert tell(healthy(32)).state.guard.skip_above == pytest.approx(40, rel=0.1)


def test_it_expires_256_reports_after_the_last_one() -> None:
    assert armed(1.0, 2.0, 500, 3) == Guard(1.0, 2.0, expires_step=1268)
    assert tell(healthy(50)).state.guard.expires_step == 49 + 256


@pytest.mark.parametrize("rule", sorted(EXPLOSIVE))
def test_an_explosive_rule_leaves_room_for_four_norms_only(rule: str) -> None:
    assert capacity([rule, "depth-explosion"]) == 4


def test_a_chronic_rule_leaves_room_for_a_calibration_and_others_for_all() -> None:
    assert capacity(["explosion-through-time"]) == 32
    assert capacity(["gradient-spike"]) is None
    assert Norms().accepted == 0


def test_the_skip_limit_follows_a_shift_though_every_shifted_value_is_skipped() -> None:
    stream = healthy(300)
    stream.multiply_norms(100, 100.0)
    stream.scalars["skipped"] = np.where(np.arange(300) < 100, 0.0, 1.0)
    norms = np.sqrt((stream.stats["grad_norm"] ** 2).sum(axis=1))
    limits = [tell(stream.until(report)).state.guard.skip_above for report in (101, 143, 144)]
    assert [bool(norms[120:].max() < limit) for limit in limits if limit] == [False, False, True]


def test_a_guard_that_keeps_skipping_calls_a_person() -> None:
    stream = healthy(300)
    stream.multiply_norms(100, 100.0)
    stream.scalars["skipped"] = np.isin(np.arange(300), range(100, 110)) * 1.0
    told = tell(stream)
    (part,) = [part for part in told.parts.values() if part.actionable]
    steps = [step for _, cause, step in told.story if cause == part.cause]
    assert 109 in steps
    stream.scalars["skipped"][105] = 0.0
    assert not any(part.actionable for part in tell(stream).parts.values())
