"""update-step-huge."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import steady


def updated(ratio: float, at: int = 0, after: float = 0.001) -> Watched:
    run, ratios = steady(80), np.full((80, 1), after)
    ratios[at] = ratio
    return watch(run.stat("update_norm", 8.0 * ratios))


@pytest.mark.parametrize("at", [0, 40])
def test_one_update_of_a_fifth_is_critical_from_the_first_report_on(at: int) -> None:
    found = updated(0.2, at)
    assert found.of("update-step-huge") == [
        (at, "opened", "critical"),
        (at + 32, "cleared", "critical"),
    ]


def test_just_less_is_silent() -> None:
    assert updated(0.199).of("update-step-huge") == []


def test_it_does_not_end_while_updates_stay_above_a_twentieth() -> None:
    assert updated(0.3, after=0.051).of("update-step-huge") == [(0, "opened", "critical")]
    assert updated(0.3, after=0.049).of("update-step-huge")[-1] == (32, "cleared", "critical")


def test_the_evidence_is_the_ratio() -> None:
    fact = updated(2.5).first("update-step-huge").evidence[0]
    assert fact.value == pytest.approx(2.5, rel=1e-3)
    assert fact.threshold == 0.2
    assert fact.text == "one update changed the median weight layer by 2.5 times its norm"


def test_a_step_that_was_skipped_goes_on_as_the_one_before() -> None:
    run, ratios = steady(80), np.full((80, 1), 0.001)
    ratios[0], ratios[1:20] = 0.5, 0.0
    found = watch(run.stat("update_norm", 8.0 * ratios)).of("update-step-huge")
    assert found[-1] == (20 + 31, "cleared", "critical")
