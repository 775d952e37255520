"""loss-spike."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import steady


def jumped(loss: float, *, norm: float = 1.0, usual: float = 1.0) -> Watched:
    losses, hit = np.full(320, usual), np.ones(320)
    losses[200], hit[200] = loss, norm
    return watch(steady(320).scaled(hit).scalar("loss", losses))


def test_alone_it_is_information_with_the_gradient_a_warning() -> None:
    assert jumped(2.0).of("loss-spike") == [(200, "opened", "info"), (216, "cleared", "info")]
    assert jumped(2.0, norm=1.5).of("loss-spike")[0] == (200, "opened", "warning")


def test_it_ignores_a_rise_of_less_than_a_tenth_and_of_six_scales() -> None:
    assert jumped(1.10).of("loss-spike") == []
    assert jumped(1.17).of("loss-spike") == []
    assert jumped(1.19).of("loss-spike") == [(200, "opened", "info"), (216, "cleared", "info")]


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
