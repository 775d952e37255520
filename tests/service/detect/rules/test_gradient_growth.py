"""gradient-growth."""

import numpy as np
import pytest

from gradwatch_service.detect.fixedpoint import ONE_BIT
from gradwatch_service.detect.rules.gradient_growth import fit
from gradwatch_service.domain import LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, noise, steady

N = 480


def growing(bits: float, *, start: int = 200, stop: int = N, jitter: float = 0.02) -> Scenario:
    """A norm that doubles every 1/bits reports."""
    time = np.clip(np.arange(N) - start, 0, stop - start)
    wobble = np.exp2(np.random.default_rng(3).normal(0.0, jitter, N))
    return steady(N, layers=LayerTable()).scaled(np.exp2(bits * time) * wobble)


def opened(found: Watched) -> tuple[int, str, str]:
    return found.of("gradient-growth")[0]


@pytest.mark.parametrize("bits", [0.1, 0.25, 0.5, 1.0])
def test_doubling_time_and_steps_to_overflow_are_right_within_a_few_percent(bits: float) -> None:
    found = watch(growing(bits, start=0))
    finding = found.first("gradient-growth")
    values = {fact.name: fact.value for fact in finding.evidence}
    assert finding.ordinal == 32
    assert values["gradient-growth"] == pytest.approx(bits, rel=0.02)
    assert values["doubling-time"] == pytest.approx(1 / bits, rel=0.02)
    # Squares summed up in float32 overflow at 2**64.
    assert values["steps-to-overflow"] == pytest.approx((64 - bits * 32) / bits, rel=0.02)


def test_it_is_found_within_a_window_of_its_beginning() -> None:
    assert opened(watch(growing(0.2))) == (225, "opened", "warning")
    assert opened(watch(growing(0.5))) == (225, "opened", "error")


def test_it_becomes_an_error_below_256_reports_and_critical_below_32() -> None:
    found = watch(growing(0.5)).of("gradient-growth")
    severities = [severity for _, _, severity in found]
    assert severities == ["error", "critical"]
    # Overflow at report 200 + 128; the earliest date is a little sooner.
    assert 328 - 34 <= found[1][0] <= 328 - 31


@pytest.mark.parametrize("bits", [-0.25, 0.0, 0.05])
def test_a_rise_of_less_than_two_bits_over_32_values_is_none(bits: float) -> None:
    assert watch(growing(bits)).of("gradient-growth") == []


def test_a_jump_is_no_growth() -> None:
    found = watch(growing(4.0, start=200, stop=201))
    assert found.of("gradient-growth") == []
    assert found.of("gradient-spike") != []


def test_noise_is_no_growth() -> None:
    run = steady(N, layers=LayerTable()).scaled(noise(N, 1.0, 5))
    assert watch(run).of("gradient-growth") == []


def test_it_is_silent_while_the_loss_falls() -> None:
    falling = growing(0.2).scalar("loss", np.exp2(-np.arange(N) / 100))
    assert watch(falling).of("gradient-growth") == []


def test_it_ends_within_64_reports_of_the_last_growth() -> None:
    found = watch(growing(0.2, stop=240)).of("gradient-growth")
    assert [kind for _, kind, _ in found] == ["opened", "cleared"]
    assert 240 + 32 < found[1][0] < 240 + 64


def test_where_only_every_4th_report_has_a_norm_the_figures_are_still_per_report() -> None:
    run = growing(0.1, start=0)
    sparse = run.without(i for i in range(N) if i % 4)
    values = {x.name: x.value for x in watch(sparse).first("gradient-growth").evidence}
    assert values["doubling-time"] == pytest.approx(10.0, rel=0.02)


def test_the_fit_is_least_squares() -> None:
    window = np.random.default_rng(0).normal(0.0, ONE_BIT, (5, 32)).astype(np.int32)
    trend = fit(window)
    for row, slope, error in zip(window, trend.slope, trend.error, strict=True):
        line, residual, *_ = np.polyfit(np.arange(32), row / ONE_BIT, 1, full=True)
        assert slope == pytest.approx(line[0], rel=1e-9)
        spread = ((np.arange(32) - 15.5) ** 2).sum()
        assert error == pytest.approx(np.sqrt(residual[0] / 30 / spread), rel=1e-9)


def test_correlated_residuals_make_the_trend_less_certain() -> None:
    time, rng = np.arange(32), np.random.default_rng(1)
    white = 0.1 * time + rng.normal(0.0, 0.3, 32)
    wave = 0.1 * time + 0.42 * np.sin(time / 3)
    both = (np.stack([white, wave]) * ONE_BIT).astype(np.int32)
    t = fit(both).t
    assert t[0] > 10.0
    assert t[1] < 6.0
