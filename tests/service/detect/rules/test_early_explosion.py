"""early-explosion."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32, LayerTable
from tests.service.detect.watching import Watched, watch
from tests.streams import steady


def begun(norm: np.ndarray, loss: np.ndarray | float = 1.0) -> Watched:
    run = steady(len(norm), layers=LayerTable())
    return watch(run.scalar("grad_norm", norm).scalar("loss", loss))


def test_a_norm_that_doubles_each_report_is_found_at_100_times_its_minimum() -> None:
    found = begun(np.exp2(np.minimum(np.arange(80), 20)))
    assert found.of("early-explosion") == [(7, "opened", "error")]
    fact = found.first("early-explosion").evidence[0]
    assert (fact.name, fact.value, fact.threshold) == ("early-norm", 7.0, 6.64)
    assert "128 times its minimum after 8 reports" in fact.text


def test_only_the_first_32_reports_are_judged() -> None:
    norm = np.ones(80)
    norm[32:] = 1000.0
    assert begun(norm).of("early-explosion") == []
    norm[31] = 1000.0
    assert begun(norm).of("early-explosion") == [(31, "opened", "error")]


def test_the_minimum_may_come_later_than_the_first_norm() -> None:
    norm = np.full(80, 2.0)
    norm[5:], norm[20:] = 0.5, 52.0
    assert begun(norm).of("early-explosion")[0] == (20, "opened", "error")


def test_a_dip_is_no_explosion_and_a_zero_no_minimum() -> None:
    norm = np.full(80, 1.0)
    norm[10] = 0.002
    assert begun(norm).of("early-explosion") == []
    norm[10] = 0.0
    assert begun(norm * np.where(np.arange(80) > 10, 50.0, 1.0)).of("early-explosion") == []


def test_a_norm_that_is_noise_from_the_start_must_leave_its_noise() -> None:
    noise = np.exp2(np.random.default_rng(1).normal(0.0, 2.0, 80))
    assert noise[:32].max() > 100 * noise[:32].min()
    assert begun(noise).of("early-explosion") == []
    assert begun(noise * np.exp2(np.arange(80))).of("early-explosion") != []


def test_a_loss_of_ten_times_the_first_counts_three_times_in_four() -> None:
    loss = np.ones(80)
    loss[[4, 6]] = 10.0
    assert begun(np.ones(80), loss).of("early-explosion") == []
    loss[7] = 11.0
    found = begun(np.ones(80), loss)
    assert found.of("early-explosion") == [(7, "opened", "error"), (7 + 32, "cleared", "error")]
    fact = found.first("early-explosion").evidence[0]
    assert (fact.name, fact.value, fact.threshold) == ("early-loss", 11.0, 10.0)


def test_a_loss_of_three_times_the_first_counts_with_a_norm_of_ten_times() -> None:
    loss, norm = np.where(np.arange(80) < 2, 3.0, 9.1), np.where(np.arange(80) < 2, 0.1, 1.1)
    found = begun(norm, loss)
    assert found.of("early-explosion")[0] == (4, "opened", "error")
    fact = found.first("early-explosion").evidence[0]
    assert (fact.name, fact.value, fact.threshold) == ("early-loss", 9.1, 9.0)
    short = np.where(np.arange(80) < 17, loss, 3.0)
    assert begun(np.minimum(norm, 0.9), short).of("early-explosion") == []
    assert begun(norm, np.minimum(short, 8.9)).of("early-explosion") == []


@pytest.mark.parametrize(("ratio", "found"), [(None, True), (0.03, True), (0.003, False)])
def test_a_loss_of_half_as_much_again_counts_16_times_on_end(
    ratio: float | None, found: bool
) -> None:
    run = steady(80).scalar("grad_norm", np.where(np.arange(80) < 2, 1.0, 2.1))
    run = run.scalar("loss", np.where(np.arange(80) < 2, 3.0, 4.6))
    if ratio is None:
        run = run.stat("update_norm", MISSING32)
    else:
        run = run.stat("update_norm", ratio * run.frame.layers["weight_norm"])
    opened = watch(run).of("early-explosion")[:1]
    assert opened == ([(17, "opened", "error")] if found else [])


@pytest.mark.parametrize(("first", "found"), [(127, True), (128, False)])
def test_the_first_loss_of_a_training_that_goes_on_is_no_measure(first: int, found: bool) -> None:
    run = steady(80).scalar("loss", np.where(np.arange(80) == 0, 0.01, 0.2))
    run = replace(run, frame=replace(run.frame, steps=10 * run.frame.steps + first))
    alone, together = watch(run, range(1, 80)), watch(run)
    assert bool(alone.of("early-explosion")) is bool(together.of("early-explosion")) is found


@pytest.mark.parametrize("first", [0.0, -1.0])
def test_a_first_loss_that_is_not_positive_is_no_measure(first: float) -> None:
    loss = np.full(80, 100.0)
    loss[0] = first
    assert begun(np.ones(80), loss).of("early-explosion") == []


def test_norm_and_loss_together_give_two_facts() -> None:
    rise = np.where(np.arange(80) < 8, 1.0, 1000.0)
    found = begun(rise, rise)
    assert [len(x.evidence) for x in found.findings if x.rule == "early-explosion"] == [1]
    late_norm = np.where(np.arange(80) < 10, 1.0, 1000.0)
    names = [x.name for x in begun(late_norm, rise).first("early-explosion").evidence]
    assert names == ["early-norm", "early-loss"]


def test_it_ends_once_the_norm_is_back() -> None:
    norm = np.ones(80)
    norm[20:40] = 1000.0
    assert begun(norm).of("early-explosion") == [
        (20, "opened", "error"),
        (40 + 31, "cleared", "error"),
    ]
