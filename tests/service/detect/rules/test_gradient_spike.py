"""gradient-spike."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import level, steady, training


def spiked(factor: float, *, loss: float = 1.0, at: int = 200, width: int = 1) -> Watched:
    run = steady(320)
    hit, loss_hit = np.ones(320), np.ones(320)
    hit[at : at + width], loss_hit[at : at + width] = factor, loss
    return watch(run.scaled(hit).scalar("loss", loss_hit))


@pytest.mark.parametrize(
    ("factor", "loss", "severity"),
    [
        (2.0, 1.0, "info"),
        (9.9, 1.0, "info"),
        (10.0, 1.0, "warning"),
        (2.0, 1.2, "warning"),
        (10.0, 1.2, "error"),
    ],
)
def test_the_severity_follows_from_height_and_loss(
    factor: float, loss: float, severity: str
) -> None:
    found = spiked(factor, loss=loss).of("gradient-spike")
    assert found == [(200, "opened", severity), (216, "cleared", severity)]


def test_less_than_a_bit_is_no_spike_however_quiet_the_run() -> None:
    assert spiked(1.99).of("gradient-spike") == []


def test_it_needs_32_reports_of_history() -> None:
    assert spiked(20.0, at=31).of("gradient-spike") == []
    assert spiked(20.0, at=32).of("gradient-spike")[0] == (32, "opened", "warning")


def test_the_evidence_compares_the_norm_with_its_usual_value() -> None:
    finding = spiked(16.0, loss=2.0).first("gradient-spike")
    spike, jump = finding.evidence
    assert "is 16, 16 times its usual 1 " in spike.text
    assert spike.value == pytest.approx(4 / 0.04, rel=1e-3)
    assert spike.threshold == 6.0
    assert (jump.name, jump.step, jump.threshold) == ("loss-jump", 200, 4.0)
    assert jump.value == pytest.approx(1 / 0.04, rel=1e-3)


def test_two_repeats_within_64_reports_are_one_episode() -> None:
    run, hit = steady(320), np.ones(320)
    hit[[200, 205, 250]] = 16.0
    kinds = watch(run.scaled(hit)).of("gradient-spike")
    assert [kind for _, kind, _ in kinds] == ["opened", "cleared", "opened", "cleared"]
    assert {x.opened_ordinal for x in watch(run.scaled(hit)).findings} == {200}


def test_a_repeat_is_not_hidden_by_the_spike_before() -> None:
    """Mean and deviation over a window would be blind to the second one."""
    run, hit = steady(320), np.ones(320)
    hit[[200, 300]] = 25.0
    assert [
        at for at, kind, _ in watch(run.scaled(hit)).of("gradient-spike") if kind == "opened"
    ] == [
        200,
        300,
    ]


def test_noise_widens_the_limit() -> None:
    noisy = training(480, bits=0.8, seed=40)
    hit = np.ones(480)
    hit[400] = 2.0**3
    assert watch(noisy.scaled(hit)).of("gradient-spike") == []


def test_a_new_level_after_an_announced_change_is_information() -> None:
    run = steady(320).scaled(level(320, 200, 4.0))
    assert watch(run).of("gradient-spike")[0] == (200, "opened", "warning")
    announced = run.scalar("lr", 1e-3 * level(320, 180, 1.0))
    assert watch(announced).of("gradient-spike")[0] == (200, "opened", "info")
    too_long_ago = run.scalar("lr", 1e-3 * level(320, 130, 1.0))
    assert watch(too_long_ago).of("gradient-spike")[0] == (200, "opened", "warning")


def test_a_level_shift_is_over_once_the_baseline_has_followed() -> None:
    run = steady(320).scaled(level(320, 200, 4.0))
    opened, cleared = watch(run).of("gradient-spike")
    assert opened[0] == 200
    assert cleared == (240 + 15, "cleared", "warning")
