"""loss-above-initial."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32
from tests.service.detect.watching import Watched, every, watch
from tests.streams import steady

RULE = "loss-above-initial"


def losses(*parts: tuple[int, float], uw: float = 0.051) -> Watched:
    """Runs of reports with these losses; an update of this size in the first of them."""
    values = np.concatenate([np.full(count, value) for count, value in parts])
    run = steady(len(values)).scalar("loss", values)
    updates = run.frame.layers["update_norm"].copy()
    updates[0] = 8 * uw
    return watch(run.stat("update_norm", updates))


def test_more_than_half_as_much_again_is_an_error_from_the_64th_loss_on() -> None:
    assert losses((8, 2.0), (152, 3.01)).of(RULE) == [(63, "opened", "error")]
    assert losses((8, 2.0), (152, 2.99)).of(RULE) == []


def test_it_opens_when_half_of_32_losses_are_above_and_ends_32_reports_after() -> None:
    found = losses((100, 2.0), (60, 4.0), (100, 2.0)).of(RULE)
    assert found == [(115, "opened", "error"), (176 + 31, "cleared", "error")]


def test_without_a_large_update_in_256_reports_it_is_information() -> None:
    assert losses((8, 2.0), (152, 3.01), uw=0.049).of(RULE) == [(63, "opened", "info")]
    assert losses((239, 2.0), (152, 4.0)).of(RULE) == [(254, "opened", "error")]
    assert losses((241, 2.0), (152, 4.0)).of(RULE) == [(256, "opened", "info")]


def test_ten_times_as_much_is_a_warning_even_then() -> None:
    assert losses((8, 2.0), (152, 19.0), uw=0.01).of(RULE) == [(63, "opened", "info")]
    assert losses((8, 2.0), (152, 21.0), uw=0.01).of(RULE) == [(63, "opened", "warning")]


def test_where_updates_are_not_known_it_is_an_error() -> None:
    run = steady(160).scalar("loss", np.where(np.arange(160) < 8, 2.0, 3.01))
    run = run.stat("update_norm", np.full(8, MISSING32))
    assert watch(run).of(RULE) == [(63, "opened", "error")]


def test_the_first_eight_losses_are_the_measure_not_the_very_first() -> None:
    assert losses((1, 0.1), (199, 2.0)).of(RULE) == []


def test_the_evidence_compares_the_two_levels() -> None:
    fact = losses((8, 2.0), (152, 8.0)).first(RULE).evidence[0]
    assert fact.text == "the loss is 8, 4 times its initial 2"
    assert (fact.value, fact.threshold) == (8.0, 3.0)


def test_reports_without_a_loss_neither_count_nor_open_it() -> None:
    values = np.concatenate([np.full(8, 2.0), np.full(312, 8.0)])
    run = steady(320).scalar("loss", values).without(i for i in range(320) if i % 4 and i >= 8)
    assert watch(run).of(RULE) == [(8 + 55 * 4, "opened", "info")]


@pytest.mark.parametrize("turn", [4, 40, 100])
def test_a_loss_that_can_be_negative_is_not_judged(turn: int) -> None:
    assert losses((turn, 2.0), (1, -1.0), (200, 8.0)).of(RULE) == []


def test_a_loss_that_turns_negative_ends_it() -> None:
    found = losses((8, 1.0), (92, 4.0), (60, -1.0)).of(RULE)
    assert found == [(63, "opened", "error"), (131, "cleared", "error")]


@pytest.mark.parametrize(("first", "found"), [(127, True), (128, False)])
def test_a_training_that_goes_on_has_no_initial_loss(first: int, found: bool) -> None:
    run = steady(160).scalar("loss", np.where(np.arange(160) < 8, 0.01, 0.02))
    run = replace(run, frame=replace(run.frame, steps=run.frame.steps + first))
    assert bool(watch(run).of(RULE)) is bool(watch(run, every(1, run)).of(RULE)) is found
