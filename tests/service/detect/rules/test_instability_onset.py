"""instability-onset."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, level, steady

N = 640


def restless(factor: float, *, at: int = 320, bits: float = 0.2, stop: int = N) -> Scenario:
    """A norm of white noise that is ``factor`` times as strong from ``at`` to ``stop``."""
    wide = np.where((np.arange(N) >= at) & (np.arange(N) < stop), factor, 1.0)
    return steady(N).scaled(np.exp2(wide * np.random.default_rng(5).normal(0.0, bits, N)))


def onset(found: Watched) -> list[tuple[int, str, str]]:
    return found.of("instability-onset")


def test_four_times_the_restlessness_is_a_warning_within_32_reports() -> None:
    found = watch(restless(4.0))
    assert onset(found)[0] == (351, "opened", "warning")
    fact = found.first("instability-onset").evidence[0]
    assert fact.value == pytest.approx(4.0, rel=0.3)
    assert fact.threshold == 2.5


def test_it_is_an_error_with_large_updates_or_a_risen_learning_rate() -> None:
    run = restless(4.0)
    large = run.stat("update_norm", np.full(len(run.layers), 8 * 0.021))
    assert onset(watch(large))[0] == (351, "opened", "error")
    risen = run.scalar("lr", 1e-3 * level(N, 300, np.log2(1.3)))
    assert onset(watch(risen))[0] == (351, "opened", "error")
    fallen = run.scalar("lr", 1e-3 * level(N, 300, -2.0))
    assert onset(watch(fallen))[0] == (351, "opened", "warning")


@pytest.mark.parametrize(("factor", "bits"), [(2.0, 0.2), (4.0, 0.04)])
def test_twice_as_much_or_less_than_a_quarter_bit_is_none(factor: float, bits: float) -> None:
    assert onset(watch(restless(factor, bits=bits))) == []


def test_it_needs_192_reports_of_history() -> None:
    assert onset(watch(restless(4.0, at=176)))[0][0] == 207
    assert onset(watch(restless(4.0, at=96))) == []


def test_it_ends_when_the_norm_has_calmed_down_or_has_become_used_to_it() -> None:
    calmed = onset(watch(restless(4.0, stop=400)))
    assert calmed[-1][1] == "cleared"
    assert 400 + 32 <= calmed[-1][0] <= 400 + 80
    used = onset(watch(restless(4.0, at=256)))
    assert used[-1][1] == "cleared"


def test_a_norm_without_noise_that_moves_once_is_not_restless() -> None:
    assert onset(watch(steady(N).scaled(level(N, 320, 3.0)))) == []


def test_values_that_are_not_numbers_are_passed_over() -> None:
    run = restless(4.0)
    norm = run.frame.scalars["grad_norm"].copy()
    norm[200:300:3] = np.nan
    assert onset(watch(run.scalar("grad_norm", norm)))[0][2] == "warning"
