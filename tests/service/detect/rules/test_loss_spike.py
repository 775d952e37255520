"""loss-spike."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, every, watch
from tests.streams import Scenario, level, steady


def jumped(loss: float, *, norm: float = 1.0, width: int = 1) -> Watched:
    losses, hit = np.ones(320), np.ones(320)
    losses[200 : 200 + width], hit[200 : 200 + width] = loss, norm
    return watch(steady(320).scaled(hit).scalar("loss", losses))


LONE = [(200, "opened", "info"), (215, "noted", "info"), (216, "cleared", "info")]


def test_a_lone_one_is_information_even_if_the_gradient_jumps_with_it() -> None:
    assert jumped(2.0).of("loss-spike") == LONE
    assert jumped(2.0, norm=1.5).of("loss-spike") == LONE
    fact, kind = jumped(2.0).findings[1].evidence
    assert fact.text.startswith("the loss jumped (robust z 25.0")
    assert (kind.name, kind.value) == ("spike-class", 1.0)


def test_one_that_lasts_is_a_warning_if_the_gradient_jumps_with_it() -> None:
    assert jumped(2.0, width=100).of("loss-spike")[:2] == LONE[:2]
    assert jumped(2.0, norm=1.5, width=100).of("loss-spike")[:3] == [
        (200, "opened", "info"),
        (203, "worsened", "warning"),
        (215, "noted", "warning"),
    ]


def test_one_that_goes_on_rising_with_the_gradient_is_an_error() -> None:
    rising = level(320, 200, 6.0, 16)
    found = watch(steady(320).scaled(rising).scalar("loss", rising))
    assert found.of("loss-spike")[-2] == (215, "worsened", "error")
    assert found.of("loss-spike")[-1][1] == "cleared"


def test_it_ignores_a_rise_of_less_than_a_tenth_and_of_six_scales() -> None:
    assert jumped(1.10).of("loss-spike") == []
    assert jumped(1.17).of("loss-spike") == []
    assert jumped(1.19).of("loss-spike") == LONE


def test_a_fall_is_no_spike() -> None:
    assert jumped(0.1).of("loss-spike") == []


def test_a_negative_loss_is_judged_on_its_own_scale() -> None:
    run = steady(320).scalar("loss", -2.0 + 0.01 * np.sin(np.arange(320)))
    assert watch(run).findings == []
    losses = run.frame.scalars["loss"].copy()
    losses[200] = -1.0
    found = watch(run.scalar("loss", losses))
    assert found.of("loss-spike")[0] == (200, "opened", "info")
    assert "jumps to -1 " in found.first("loss-spike").evidence[0].text


def test_a_small_rise_of_a_negative_loss_is_none() -> None:
    losses = np.full(320, -2.0)
    losses[200] = -1.85
    assert watch(steady(320).scalar("loss", losses)).of("loss-spike") == []


def test_the_evidence_is_z_against_the_limit() -> None:
    fact = jumped(4.0).first("loss-spike").evidence[0]
    assert fact.value == pytest.approx(2 / 0.04, rel=1e-3)
    assert fact.threshold == 6.0


def test_a_loss_that_turns_negative_in_the_middle_of_a_spike_begins_anew() -> None:
    losses = np.full(480, 2.0)
    losses[200], losses[205:], losses[400] = 9.0, -2.0, 0.0
    found = watch(steady(480).scalar("loss", losses))
    at = [(x.ordinal, x.kind) for x in found.findings if x.rule == "loss-spike"]
    assert at == [
        (200, "opened"), (216, "cleared"), (400, "opened"), (415, "noted"), (416, "cleared"),
    ]  # fmt: skip


def together(*at: int, before: int = 100) -> Scenario:
    """Noisy loss and norm; at these reports both are up by more than noise, but by little more.

    At ``before`` the loss alone spikes.
    """
    chance = np.random.default_rng(4)
    loss, norm = np.exp2(chance.normal(0.0, 0.3, (2, 1400)))
    loss[list(at)], norm[list(at)] = 2.0**1.6, 2.0**1.7
    loss[before] = 2.0**6
    return steady(1400).scalar("loss", loss).scalar("grad_norm", norm)


def test_a_jump_of_both_counts_in_a_run_without_spikes_for_1024_reports() -> None:
    found = [at for at, kind, _ in watch(together(1123, 1125)).of("loss-spike") if kind == "opened"]
    assert found == [100, 1125]
    (joint,) = [
        x for x in watch(together(1125)).findings if (x.rule, x.ordinal) == ("loss-spike", 1125)
    ]
    assert [fact.name for fact in joint.evidence] == ["loss-spike", "norm-jump"]


@pytest.mark.parametrize("size", [1, 3, 16, 50])
def test_cuts_make_no_difference_to_a_jump_of_both(size: int) -> None:
    run = together(600, 1123, 1125, 1130)
    assert watch(run, every(size, run)).findings == watch(run).findings
