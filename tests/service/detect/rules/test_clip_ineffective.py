"""clip-ineffective."""

import numpy as np

from tests.service.detect.watching import watch
from tests.streams import Scenario, steady


def spiked(*, norm: float = 16.0, loss: float = 2.0, at: int = 300) -> Scenario:
    hit = np.arange(400) == at
    run = steady(400).scalar("loss", np.where(hit, loss, 1.0))
    return run.scaled(np.where(hit, norm, 1.0))


def ineffective(run: Scenario) -> list[tuple[int, str, str]]:
    return watch(run).of("clip-ineffective")


FOUND = [(300, "opened", "info"), (364, "cleared", "info")]


def test_a_spike_without_a_clip_limit_is_information() -> None:
    assert ineffective(spiked()) == FOUND
    fact = watch(spiked()).first("clip-ineffective").evidence[0]
    assert (fact.value, fact.threshold) == (None, 8.0)
    assert fact.text.startswith("no clip limit is reported (99 % of the norms are below 1)")


def test_so_is_one_under_a_limit_of_eight_times_the_norms() -> None:
    assert ineffective(spiked().scalar("clip_norm", 8.0)) == FOUND
    fact = watch(spiked().scalar("clip_norm", 10.0)).first("clip-ineffective").evidence[0]
    assert fact.value == 10.0
    assert fact.text.startswith("the clip limit 10 is 10 times as large as almost any")


def test_a_closer_limit_would_have_worked() -> None:
    assert ineffective(spiked().scalar("clip_norm", 7.9)) == []


def test_it_takes_a_jump_of_norm_and_loss() -> None:
    assert ineffective(spiked(norm=9.0)) == []
    assert ineffective(spiked(loss=1.1)) == []


def test_it_needs_256_norms() -> None:
    assert ineffective(spiked(at=254)) == []
    assert ineffective(spiked(at=255)) != []


def test_a_limit_that_is_not_a_number_is_none() -> None:
    assert ineffective(spiked().scalar("clip_norm", np.nan)) == FOUND
    assert ineffective(spiked().scalar("clip_norm", np.inf)) == FOUND
