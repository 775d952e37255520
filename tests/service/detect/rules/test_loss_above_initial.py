"""loss-above-initial."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import steady

RULE = "loss-above-initial"


def losses(*parts: tuple[int, float]) -> Watched:
    values = np.concatenate([np.full(count, value) for count, value in parts])
    return watch(steady(len(values)).scalar("loss", values))


def test_more_than_half_as_much_again_is_an_error_from_the_64th_loss_on() -> None:
    assert losses((8, 2.0), (152, 3.01)).of(RULE) == [(63, "opened", "error")]
    assert losses((8, 2.0), (152, 2.99)).of(RULE) == []


def test_it_opens_when_half_of_32_losses_are_above_and_ends_32_reports_after() -> None:
    found = losses((100, 2.0), (60, 4.0), (100, 2.0)).of(RULE)
    assert found == [(115, "opened", "error"), (176 + 31, "cleared", "error")]


def test_the_first_eight_losses_are_the_measure_not_the_very_first() -> None:
    assert losses((1, 0.1), (199, 2.0)).of(RULE) == []


def test_the_evidence_compares_the_two_levels() -> None:
    fact = losses((8, 2.0), (152, 8.0)).first(RULE).evidence[0]
    assert fact.text == "the loss is 8, 4 times its initial 2"
    assert (fact.value, fact.threshold) == (8.0, 3.0)


def test_reports_without_a_loss_neither_count_nor_open_it() -> None:
    values = np.concatenate([np.full(8, 2.0), np.full(312, 8.0)])
    run = steady(320).scalar("loss", values).without(i for i in range(320) if i % 4 and i >= 8)
    assert watch(run).of(RULE) == [(8 + 55 * 4, "opened", "error")]


@pytest.mark.parametrize("turn", [4, 40, 100])
def test_a_loss_that_can_be_negative_is_not_judged(turn: int) -> None:
    assert losses((turn, 2.0), (1, -1.0), (200, 8.0)).of(RULE) == []


def test_a_loss_that_turns_negative_ends_it() -> None:
    found = losses((8, 1.0), (92, 4.0), (60, -1.0)).of(RULE)
    assert found == [(63, "opened", "error"), (131, "cleared", "error")]
