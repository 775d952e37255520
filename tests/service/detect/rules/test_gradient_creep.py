"""gradient-creep."""

import numpy as np

from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, level, noise, steady

N = 2600


def creeping(bits: float, *, start: int = 1200, over: int = 400, jitter: float = 0.05) -> Scenario:
    return steady(N).scaled(level(N, start, bits, over) * noise(N, jitter, 1))


def creep(found: Watched) -> list[tuple[int, str, str]]:
    return found.of("gradient-creep")


def test_a_rise_of_two_bits_in_400_reports_is_found_after_one_and_ends_once_it_is_usual() -> None:
    opened, cleared = creep(watch(creeping(2.0)))
    assert opened == (1423, "opened", "warning")
    # Half of the 64 medians are of the new level 512 reports after it was reached.
    assert cleared[1:] == ("cleared", "warning")
    assert 1600 + 512 < cleared[0] < 1600 + 512 + 256


def test_the_evidence_is_the_sum_and_the_factor() -> None:
    fact = watch(creeping(2.0)).first("gradient-creep").evidence[0]
    assert (fact.name, fact.value, fact.threshold) == ("gradient-creep", 16.0, 8.0)
    assert "crept up to 2.1 times" in fact.text


def test_less_than_a_bit_is_none_however_steady_the_norm() -> None:
    assert creep(watch(creeping(0.9))) == []


def test_it_is_silent_while_the_loss_falls() -> None:
    falling = np.exp2(-np.arange(N) / 1000)
    assert creep(watch(creeping(2.0).scalar("loss", falling))) == []
    rising = np.exp2(np.arange(N) / 1000)
    assert creep(watch(creeping(2.0).scalar("loss", rising))) != []


def test_a_loss_without_a_logarithm_does_not_speak_against_it() -> None:
    assert creep(watch(creeping(2.0).scalar("loss", -1.0))) != []
    assert creep(watch(creeping(2.0).scalar("loss", np.nan))) != []


def test_a_single_bad_stretch_is_no_creep() -> None:
    burst = np.where((np.arange(N) >= 1200) & (np.arange(N) < 1216), 8.0, 1.0)
    assert creep(watch(steady(N).scaled(burst * noise(N, 0.05, 2)))) == []


def test_noise_is_no_creep_even_if_it_is_slow() -> None:
    walk, rng = np.zeros(N), np.random.default_rng(3)
    for i in range(1, N):
        walk[i] = 0.9 * walk[i - 1] + rng.normal(0.0, 0.3)
    assert creep(watch(steady(N).scaled(np.exp2(walk)))) == []


def test_it_needs_64_medians_of_history() -> None:
    found = creep(watch(creeping(6.0, start=0, over=2600)))
    assert found[0][0] >= 65 * 16 - 1
