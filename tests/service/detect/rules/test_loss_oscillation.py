"""loss-oscillation."""

import numpy as np
import pytest

from tests.service.detect.watching import watch
from tests.streams import Scenario, level, noise, steady

N = 480
EVERY_OTHER = (-1.0) ** np.arange(N)


def swinging(
    bits: float, *, at: int = 200, stop: int = N, rise: float = 1.0, jitter: float = 0.01
) -> Scenario:
    """A loss that goes up and down by this many bits, at a level that rises."""
    now = (np.arange(N) >= at) & (np.arange(N) < stop)
    swing = np.exp2(np.where(now, bits / 2 * EVERY_OTHER, 0.0))
    return steady(N).scalar("loss", swing * level(N, at, rise, 64) * noise(N, jitter, 1))


def oscillation(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("loss-oscillation")


def test_a_loss_that_swings_and_rises_is_a_warning_after_two_windows() -> None:
    assert oscillation(swinging(0.5)) == [(255, "opened", "warning")]
    fact = watch(swinging(0.5)).first("loss-oscillation").evidence[0]
    assert (fact.name, fact.threshold) == ("loss-oscillation", 0.3)
    assert fact.value is not None
    assert fact.value < 0.05


def test_it_ends_within_64_reports_of_the_last_swing() -> None:
    opened, cleared = oscillation(swinging(0.5, stop=320))
    assert opened[0] == 255
    assert cleared[1] == "cleared"
    assert 320 + 32 <= cleared[0] <= 320 + 80


def test_a_swing_of_less_than_a_twentieth_is_none() -> None:
    assert oscillation(swinging(0.065, jitter=0.0)) == []
    assert oscillation(swinging(0.075, jitter=0.0)) != []


def test_tasks_that_take_turns_swing_and_are_healthy() -> None:
    always = swinging(1.0, at=0, rise=0.0)
    assert oscillation(always) == []
    # Even when both losses rise: it is not the swing that does it.
    assert oscillation(swinging(1.0, at=0, rise=0.5)) == []
    # And where they begin to take turns at some time, with no worse a loss.
    assert oscillation(swinging(1.0, rise=0.0)) == []


def test_with_large_updates_it_counts_from_the_start_and_at_any_level() -> None:
    run = swinging(0.5, at=0, rise=0.0)
    large = run.stat("update_norm", np.full(len(run.layers), 8 * 0.021))
    assert oscillation(large) == [(79, "opened", "warning")]


@pytest.mark.parametrize("seed", range(4))
def test_noise_is_no_swing(seed: int) -> None:
    run = steady(N).scalar("loss", noise(N, 0.5, seed) * level(N, 200, 1.0, 64))
    large = run.stat("update_norm", np.full(len(run.layers), 8 * 0.021))
    assert oscillation(large) == []


def test_a_negative_loss_swings_in_its_own_unit() -> None:
    swing = np.where(np.arange(N) >= 200, 0.2 * EVERY_OTHER, 0.0)
    rise = np.where(np.arange(N) >= 200, 0.5, 0.0)
    run = steady(N).scalar("loss", -2.0 + rise + swing)
    assert oscillation(run)[0] == (255, "opened", "warning")
    assert oscillation(steady(N).scalar("loss", -2.0 + rise + swing / 10)) == []


def test_a_loss_that_is_not_a_number_now_and_then_does_not_hide_it() -> None:
    run = swinging(0.5)
    loss = run.frame.scalars["loss"].copy()
    loss[np.arange(220, N, 40)] = np.nan
    loss[np.arange(221, N, 40)] = np.nan
    assert oscillation(run.scalar("loss", loss))[0][2] == "warning"
