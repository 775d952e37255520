"""loss-plateau."""

import numpy as np
import pytest

from tests.service.detect.watching import watch
from tests.streams import Array, noise, steady

N = 800


def plateau(loss: Array, *, lr: Array | float = 1e-3) -> list[tuple[int, str, str]]:
    return watch(steady(N).scalar("loss", loss).scalar("lr", lr)).of("loss-plateau")


def test_a_loss_that_stands_still_for_512_reports_is_information() -> None:
    assert plateau(np.ones(N)) == [(511, "opened", "info")]
    fact = watch(steady(N)).first("loss-plateau").evidence[0]
    assert (fact.value, fact.threshold) == (0.0, 0.005)
    assert "gained 0.00% in 256 reports" in fact.text


def test_a_gain_of_more_than_half_a_percent_in_256_reports_is_progress() -> None:
    assert plateau(1.005 ** -(np.arange(N) / 250)) == []


def test_a_small_gain_with_a_clear_trend_is_progress_too() -> None:
    slow = 1.001 ** -(np.arange(N) / 256)
    assert plateau(slow) == []
    assert plateau(slow * noise(N, 0.05, 1)) != []


def test_it_ends_once_the_loss_falls_again() -> None:
    again = np.where(np.arange(N) < 560, 1.0, 0.9)
    opened, cleared = plateau(again)
    assert opened == (511, "opened", "info")
    assert cleared[1] == "cleared"
    assert 560 + 64 < cleared[0] < N


@pytest.mark.parametrize(("lr", "found"), [(0.9e-4, False), (1.1e-4, True)])
def test_it_is_silent_where_the_learning_rate_is_below_a_tenth_of_its_peak(
    lr: float, found: bool
) -> None:
    rate = np.where(np.arange(N) < 100, 1e-3, lr)
    assert bool(plateau(np.ones(N), lr=rate)) is found


def test_a_loss_of_nothing_cannot_fall() -> None:
    assert plateau(np.zeros(N)) == []


def test_a_negative_loss_is_judged_in_its_own_unit_and_from_its_first_value_on() -> None:
    assert plateau(np.full(N, -1.0)) == [(511, "opened", "info")]
    assert plateau(-1.0 - 0.01 * np.arange(N) / 256) == []
    assert plateau(np.where(np.arange(N) < 100, 1.0, -1.0)) == [(100 + 511, "opened", "info")]
