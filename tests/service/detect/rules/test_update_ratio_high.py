"""update-ratio-high."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import steady


def updates(*parts: tuple[int, float]) -> Watched:
    """Runs of reports with these update ratios."""
    ratios = np.concatenate([np.full(count, ratio) for count, ratio in parts])
    return watch(steady(len(ratios)).stat("update_norm", 8.0 * ratios[:, None]))


def test_the_median_of_16_reports_is_judged_once_there_are_32() -> None:
    assert updates((80, 0.02)).of("update-ratio-high") == [(32, "opened", "warning")]


def test_a_twentieth_is_a_warning_once_there_are_16_and_an_error_from_32_on() -> None:
    found = updates((80, 0.05)).of("update-ratio-high")
    assert found == [(15, "opened", "warning"), (32, "worsened", "error")]
    assert updates((24, 0.05), (80, 0.005)).of("update-ratio-high")[0] == (15, "opened", "warning")


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


def learning(ratio: float, *losses: tuple[int, float], usual: float = 2.0**-10) -> list[str]:
    """The severities of the first 160 reports of ``usual`` updates and the 80 after them."""
    ratios = np.where(np.arange(240) < 160, usual, ratio)
    loss = np.concatenate([np.full(count, value) for count, value in losses])
    run = steady(240).stat("update_norm", 8.0 * ratios[:, None]).scalar("loss", loss)
    return [severity for _, kind, severity in watch(run).of("update-ratio-high")]


def test_a_run_that_learns_at_that_pace_may_go_on_with_less_alarm() -> None:
    learned, as_at_first = ((20, 2.0), (220, 1.5)), ((240, 2.0),)
    assert learning(0.03, *learned, usual=0.015) == ["info"]
    assert learning(0.03, *as_at_first, usual=0.015) == ["warning"]
    assert learning(0.06, *learned, usual=0.02) == ["info", "warning"]
    assert learning(0.06, *as_at_first, usual=0.02) == ["warning", "error"]


def test_not_if_the_loss_has_risen_over_its_level_of_long_ago() -> None:
    assert learning(0.03, (20, 2.0), (140, 1.0), (80, 1.2), usual=0.015) == ["warning"]
    assert learning(0.03, (20, 2.0), (140, 1.0), (80, 1.05), usual=0.015) == ["info"]


def test_a_rise_is_information_while_the_loss_falls_as_in_a_warm_up() -> None:
    assert learning(0.011, (150, 2.0), (90, 1.8)) == ["info"]
    assert learning(0.011, (150, 2.0), (90, 1.9)) == ["warning"]
    assert learning(0.03, (150, 2.0), (90, 1.8)) == ["warning"]


@pytest.mark.parametrize("loss", [-1.0, np.nan])
def test_a_loss_that_tells_nothing_softens_nothing(loss: float) -> None:
    assert learning(0.03, (240, loss)) == ["warning"]
