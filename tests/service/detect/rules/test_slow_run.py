"""slow-run."""

import numpy as np
import pytest

from gradwatch_service.domain import MISSING64
from tests.service.detect.watching import watch
from tests.streams import Array, Scenario, noise, steady

N = 480


def paced(seconds: Array | float) -> Scenario:
    return steady(N).scalar("step_seconds", seconds)


def slow(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("slow-run")


def slower(factor: float, at: int = 256, stop: int = N) -> Array:
    rows = (np.arange(N) >= at) & (np.arange(N) < stop)
    return np.where(rows, 0.2 * factor, 0.2)


@pytest.mark.parametrize(("factor", "severity"), [(1.3, "info"), (1.9, "info"), (2.1, "warning")])
def test_64_slow_steps_on_end_are_information_and_at_twice_the_time_a_warning(
    factor: float, severity: str
) -> None:
    assert slow(paced(slower(factor))) == [(319, "opened", severity)]
    fact = watch(paced(slower(factor))).first("slow-run").evidence[0]
    assert fact.value == pytest.approx(factor, rel=1e-3)
    assert fact.threshold == 1.25


def test_a_fifth_slower_or_48_steps_are_none() -> None:
    assert slow(paced(slower(1.2))) == []
    assert slow(paced(slower(4.0, stop=304))) == []


def test_pauses_for_checkpoints_are_none() -> None:
    pauses = np.where(np.arange(N) % 10 == 0, 30.0, 1.0)
    assert slow(paced(pauses * noise(N, 0.2, 1))) == []


def test_it_ends_after_32_ordinary_steps() -> None:
    found = slow(paced(slower(2.5, stop=352)))
    assert found == [(319, "opened", "warning"), (367 + 31, "cleared", "warning")]


def test_the_first_128_steps_are_what_is_usual() -> None:
    assert slow(paced(slower(4.0, at=48))) == []
    assert slow(paced(slower(4.0, at=128)))[0] == (191, "opened", "warning")


@pytest.mark.parametrize("name", ["batch_size", "seq_len"])
def test_a_larger_step_may_take_longer(name: str) -> None:
    size = np.where(np.arange(N) >= 256, 512.0, 256.0)
    assert slow(paced(slower(2.1)).scalar(name, size)) == []
    small = np.where(np.arange(N) >= 256, 280.0, 256.0)
    assert slow(paced(slower(2.1)).scalar(name, small)) != []


def test_steps_without_a_time_are_passed_over() -> None:
    seconds = slower(2.1)
    seconds[::4], seconds[1::16], seconds[2::16] = MISSING64, np.nan, 0.0
    assert slow(paced(seconds))[0][2] == "warning"
    assert slow(steady(N)) == []
