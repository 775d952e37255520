"""loss-scale-collapse."""

from collections.abc import Iterable

import numpy as np
import pytest

from gradwatch_service.domain import MISSING64
from tests.service.detect.watching import watch
from tests.streams import Scenario, steady

N = 900


def scaled(overflows: Iterable[int], *, start: float = 65536.0) -> Scenario:
    """A scaler that halves after every overflow."""
    found = np.isin(np.arange(N), list(overflows)) * 1.0
    scale = start / np.exp2(np.cumsum(found) - found)
    return steady(N).scalar("loss_scale", scale).scalar("found_inf", found)


def collapse(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("loss-scale-collapse")


def test_the_first_halvings_are_calibration() -> None:
    assert collapse(scaled(range(12))) == []
    assert collapse(scaled([*range(6), *range(8, 14), 20])) == []


def test_one_overflow_now_and_then_is_how_a_scaler_works() -> None:
    assert collapse(scaled(range(100, N, 100))) == []


def test_four_overflows_on_end_are_a_warning_that_ends_after_500_clean_reports() -> None:
    assert collapse(scaled(range(200, 203))) == []
    assert collapse(scaled(range(200, 204))) == [
        (203, "opened", "warning"),
        (204 + 500, "cleared", "warning"),
    ]


def test_so_are_more_than_a_twentieth_of_200() -> None:
    assert collapse(scaled(range(200, 390, 19), start=2.0**24))[0][1:] == ("opened", "error")
    constant = scaled(range(200, 390, 19)).scalar("loss_scale", MISSING64)
    assert collapse(constant) == []
    often = scaled(range(200, 390, 18)).scalar("loss_scale", MISSING64)
    assert collapse(often) == [(380, "opened", "warning"), (880, "cleared", "warning")]


def test_eight_halvings_in_200_reports_are_an_error() -> None:
    found = collapse(scaled(range(200, 380, 22)))
    assert found[0] == (200 + 7 * 22 + 1, "opened", "error")


def test_so_are_eight_overflows_on_end_at_a_scale_that_is_fixed() -> None:
    fixed = scaled(range(200, 300)).scalar("loss_scale", 4096.0)
    assert collapse(fixed)[:2] == [(203, "opened", "warning"), (207, "worsened", "error")]


def test_a_scale_of_128_is_one_if_it_has_fallen_there() -> None:
    assert collapse(scaled([200, 220, 240, 260], start=2048.0))[0] == (261, "opened", "error")
    assert collapse(scaled([200, 220, 240], start=2048.0)) == []
    assert collapse(scaled([200, 220, 240], start=128.0)) == []
    assert collapse(scaled([200, 300, 400], start=1.0)) == []


def test_a_scale_of_1_is_critical_even_during_calibration() -> None:
    assert collapse(scaled(range(40)))[0] == (16, "opened", "critical")
    falling = collapse(scaled(range(200, 220), start=1024.0))
    assert falling[:3] == [
        (203, "opened", "warning"),
        (204, "worsened", "error"),
        (210, "worsened", "critical"),
    ]


def test_nothing_but_that_counts_in_the_first_50_reports() -> None:
    assert collapse(scaled(range(40, 49))) == []
    assert collapse(scaled(range(44, 52)))[0] == (50, "opened", "warning")


def test_without_found_inf_a_falling_scale_tells() -> None:
    run = scaled(range(200, 204)).scalar("found_inf", MISSING64)
    assert collapse(run)[0] == (204, "opened", "warning")


@pytest.mark.parametrize("value", [np.nan, np.inf, MISSING64])
def test_reports_that_do_not_tell_are_passed_over(value: float) -> None:
    run = scaled(range(200, 208, 2))
    scale, found = run.frame.scalars["loss_scale"].copy(), run.frame.scalars["found_inf"].copy()
    scale[201:207:2], found[201:207:2] = value, value
    assert collapse(run.scalar("loss_scale", scale).scalar("found_inf", found))[0] == (
        206,
        "opened",
        "warning",
    )


def test_the_evidence_counts_the_overflows() -> None:
    fact = watch(scaled(range(200, 204))).first("loss-scale-collapse").evidence[0]
    assert (fact.value, fact.threshold) == (4.0, 10.0)
    assert fact.text.endswith("4 times in 200 reports, 4 times on end; the loss scale is 8192")
    bare = scaled(range(200, 204)).scalar("loss_scale", MISSING64)
    assert watch(bare).first("loss-scale-collapse").evidence[0].text.endswith("4 times on end")
