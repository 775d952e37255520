"""update-ratio-low."""

import numpy as np
import pytest

from tests.service.detect.watching import watch
from tests.streams import Scenario, steady


def moving(ratio: float, *, rows: slice = slice(None)) -> Scenario:
    """Weights of norm 8, updates of this ratio in these rows, else of 2**-10."""
    run, size = steady(320).scalar("loss", 1.01 ** -np.arange(320) * 50), np.full(320, 2.0**-10)
    size[rows] = ratio
    return run.stat("update_norm", 8 * np.broadcast_to(size[:, None], (320, len(run.layers))))


def low(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("update-ratio-low")


def test_updates_of_less_than_a_millionth_for_64_values_are_information() -> None:
    assert low(moving(5e-7)) == [(63, "opened", "info")]
    fact = watch(moving(5e-7)).first("update-ratio-low").evidence[0]
    assert fact.value == pytest.approx(5e-7, rel=1e-2)
    assert (fact.threshold, fact.text[:19]) == (1e-6, "updates are 5.0e-07")


def test_a_millionth_is_not_less() -> None:
    assert low(moving(1.01e-6)) == []


def test_it_ends_after_32_reports_of_ordinary_updates() -> None:
    assert low(moving(5e-7, rows=slice(0, 128))) == [
        (63, "opened", "info"),
        (143 + 31, "cleared", "info"),
    ]


def test_48_values_are_too_few() -> None:
    assert low(moving(5e-7, rows=slice(0, 48))) == []


@pytest.mark.parametrize("lr", [0.0, 9e-6])
def test_at_the_end_of_a_schedule_small_updates_are_meant(lr: float) -> None:
    rate = np.where(np.arange(320) < 32, 1e-3, lr)
    assert low(moving(5e-7).scalar("lr", rate)) == []
    assert low(moving(5e-7).scalar("lr", np.where(rate > 9e-6, rate, 2e-5))) != []


def test_without_a_learning_rate_it_is_found_as_well() -> None:
    assert low(moving(5e-7).scalar("lr", np.nan)) == [(63, "opened", "info")]


def test_a_small_loss_makes_small_updates_natural() -> None:
    assert low(moving(5e-7).scalar("loss", 0.4)) == []
    assert low(moving(5e-7).scalar("loss", 0.6)) != []
    assert low(moving(5e-7).scalar("loss", -0.4)) != []


def test_where_the_loss_stands_still_as_well_it_is_a_warning() -> None:
    run = moving(5e-7).scalar("loss", 2.0)
    assert low(run) == [(63, "opened", "info"), (127, "worsened", "warning")]
