"""update-ratio-high."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import steady


def updates(*parts: tuple[int, float]) -> Watched:
    """Runs of reports with these update ratios."""
    ratios = np.concatenate([np.full(count, ratio) for count, ratio in parts])
    return watch(steady(len(ratios)).stat("update_norm", 8.0 * ratios[:, None]))


@pytest.mark.parametrize(("ratio", "severity"), [(0.02, "warning"), (0.05, "error")])
def test_the_median_of_16_reports_is_judged_once_there_are_32(ratio: float, severity: str) -> None:
    assert updates((80, ratio)).of("update-ratio-high") == [(32, "opened", severity)]


def test_a_rise_is_found_when_it_fills_half_the_window() -> None:
    found = updates((160, 0.003), (80, 0.03)).of("update-ratio-high")
    assert found[0] == (160 + 7, "opened", "warning")


def test_a_hundredth_is_too_much_where_a_quarter_of_that_was_usual() -> None:
    assert updates((160, 0.0025), (80, 0.0101)).of("update-ratio-high")[0][2] == "warning"
    assert updates((160, 0.0026), (80, 0.0101)).of("update-ratio-high") == []


def test_the_threshold_in_the_evidence_is_the_one_that_was_passed() -> None:
    relative = updates((160, 0.002), (80, 0.011)).first("update-ratio-high").evidence[0]
    assert (relative.threshold, relative.step) == (0.01, 167)
    assert relative.value == pytest.approx(0.011, rel=1e-3)
    assert "this run had 0.002 before" in relative.text
    absolute = updates((160, 0.002), (80, 0.021)).first("update-ratio-high").evidence[0]
    assert absolute.threshold == 0.02


def test_single_large_updates_do_not_matter() -> None:
    run, ratios = steady(160), np.full((160, 1), 0.001)
    ratios[::3] = 0.1
    found = watch(run.stat("update_norm", 8.0 * ratios))
    assert found.of("update-ratio-high") == []


def test_it_ends_after_32_reports_with_a_median_below_a_hundredth() -> None:
    found = updates((80, 0.03), (80, 0.009)).of("update-ratio-high")
    assert found == [(32, "opened", "warning"), (80 + 8 + 31, "cleared", "warning")]
