"""gradient-spike."""

import numpy as np
import pytest

from tests.service.detect.watching import Watched, watch
from tests.streams import level, steady, training, with_rows


def spiked(factor: float, *, loss: float = 1.0, at: int = 200, width: int = 1) -> Watched:
    run = steady(320)
    hit, loss_hit = np.ones(320), np.ones(320)
    hit[at : at + width], loss_hit[at : at + width] = factor, loss
    return watch(run.scaled(hit).scalar("loss", loss_hit))


def class_of(found: Watched) -> list[tuple[int, float | None]]:
    """Where a spike was classed, and as what."""
    return [
        (x.ordinal, fact.value)
        for x in found.findings
        for fact in x.evidence
        if x.rule == "gradient-spike" and fact.name == "spike-class"
    ]


def worst(found: Watched) -> str:
    return found.state.episodes["gradient-spike"].severity.label


@pytest.mark.parametrize(("factor", "loss"), [(2.0, 1.0), (100.0, 1.0), (2.0, 9.0), (100.0, 9.0)])
def test_a_lone_spike_is_information_however_high(factor: float, loss: float) -> None:
    found = spiked(factor, loss=loss)
    assert found.of("gradient-spike") == [
        (200, "opened", "info"),
        (215, "noted", "info"),
        (216, "cleared", "info"),
    ]
    assert class_of(found) == [(215, 1.0)]


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
def test_the_fourth_report_out_of_range_is_judged_by_height_and_loss(
    factor: float, loss: float, severity: str
) -> None:
    found = spiked(factor, loss=loss, width=4).of("gradient-spike")
    before = [x for x in found if x[0] < 215]
    worse = [] if severity == "info" else [(203, "worsened", severity)]
    assert before == [(200, "opened", "info"), *worse]


@pytest.mark.parametrize(
    ("factor", "loss", "severity"),
    [(2.0, 1.0, "warning"), (10.0, 1.0, "warning"), (10.0, 1.2, "error")],
)
def test_more_than_three_reports_out_of_range_are_recurrent_even_if_the_level_comes_back(
    factor: float, loss: float, severity: str
) -> None:
    found = spiked(factor, loss=loss, width=4)
    assert class_of(found) == [(215, 2.0)]
    assert worst(found) == severity


def test_a_higher_level_is_a_shift_judged_by_where_it_stays() -> None:
    run = steady(320).scaled(level(320, 200, 1.5))
    run = run.scalar("grad_norm", with_rows(run.frame.scalars["grad_norm"], 200, 30.0))
    jumped = run.scalar("loss", level(320, 200, 1.0))
    found = watch(jumped).of("gradient-spike")
    # Ten times the usual norm and the loss: an error by height, but only for a report.
    assert found[:3] == [
        (200, "opened", "info"),
        (203, "worsened", "error"),
        (215, "noted", "error"),
    ]
    alone = watch(run)
    assert class_of(alone) == [(215, 3.0)]
    assert alone.of("gradient-spike")[1] == (203, "worsened", "warning")


def test_a_spike_that_goes_on_rising_escalates_to_an_error() -> None:
    found = watch(steady(320).scaled(level(320, 200, 6.0, 16)))
    assert class_of(found) == [(215 + 2, 4.0)]
    assert found.of("gradient-spike")[-2][1:] == ("worsened", "error")


def test_the_fourth_spike_in_1024_reports_is_recurrent_at_once() -> None:
    run, hit = steady(1400), np.ones(1400)
    hit[[200, 400, 800, 1200]] = 16.0
    found = watch(run.scaled(hit))
    assert class_of(found) == [(215, 1.0), (415, 1.0), (815, 1.0), (1215, 2.0)]
    assert found.of("gradient-spike")[9:11] == [
        (1200, "opened", "warning"),
        (1215, "noted", "warning"),
    ]
    assert "(4 in 1,024 reports)" in found.findings[-2].evidence[-1].text


def test_spikes_that_get_higher_and_higher_escalate() -> None:
    run, hit = steady(1400), np.ones(1400)
    hit[[200, 400, 800, 1200]] = 16.0, 20.0, 41.0, 50.0
    found = watch(run.scaled(hit))
    assert class_of(found)[-1] == (1215, 4.0)
    assert found.of("gradient-spike")[-2] == (1215, "worsened", "error")


def test_less_than_a_bit_is_no_spike_however_quiet_the_run() -> None:
    assert spiked(1.99).of("gradient-spike") == []


def test_it_needs_32_reports_of_history() -> None:
    assert spiked(20.0, at=31).of("gradient-spike") == []
    assert spiked(20.0, at=32).of("gradient-spike")[0] == (32, "opened", "info")


def test_the_evidence_compares_the_norm_with_its_usual_value() -> None:
    found = spiked(16.0, loss=2.0)
    spike, jump = found.first("gradient-spike").evidence
    assert "is 16, 16 times its usual 1 " in spike.text
    assert spike.value == pytest.approx(4 / 0.04, rel=1e-3)
    assert spike.threshold == 6.0
    assert (jump.name, jump.step, jump.threshold) == ("loss-jump", 200, 4.0)
    assert jump.value == pytest.approx(1 / 0.04, rel=1e-3)
    # The class comes with the highest value, whatever the norm is by then.
    again, kind = next(x for x in found.findings if x.kind == "noted").evidence
    assert again.value == spike.value
    assert (kind.name, kind.step, kind.value) == ("spike-class", 215, 1.0)
    assert kind.text.startswith("an isolated spike")


def test_two_repeats_within_64_reports_are_one_episode() -> None:
    run, hit = steady(320), np.ones(320)
    hit[[200, 205, 250]] = 16.0
    kinds = watch(run.scaled(hit)).of("gradient-spike")
    assert [(at, kind) for at, kind, _ in kinds] == [
        (200, "opened"), (215, "noted"), (221, "cleared"),
        (250, "opened"), (265, "noted"), (266, "cleared"),
    ]  # fmt: skip
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
    assert worst(watch(run)) == "warning"
    announced = run.scalar("lr", 1e-3 * level(320, 180, 1.0))
    assert worst(watch(announced)) == "info"
    assert worst(watch(announced.scalar("loss", level(320, 200, 1.0)))) == "error"
    too_long_ago = run.scalar("lr", 1e-3 * level(320, 130, 1.0))
    assert worst(watch(too_long_ago)) == "warning"
    assert worst(watch(run.announced("phase", 195))) == "info"


def test_a_level_shift_is_one_spike_until_the_baseline_has_followed() -> None:
    run = steady(320).scaled(level(320, 200, 4.0))
    assert watch(run).of("gradient-spike") == [
        (200, "opened", "info"),
        (203, "worsened", "warning"),
        (215, "noted", "warning"),
        (240 + 15, "cleared", "warning"),
    ]


def test_after_a_level_shift_a_spike_is_a_new_one() -> None:
    run = steady(960).scaled(level(960, 200, 4.0))
    hit = with_rows(run.frame.scalars["grad_norm"], 900, 16.0)
    found = watch(run.scalar("grad_norm", hit))
    assert class_of(found) == [(215, 3.0), (915, 1.0)]


def test_a_value_that_is_not_a_number_puts_the_class_off_but_does_not_prevent_it() -> None:
    run = steady(320).scaled(np.where(np.arange(320) == 200, 16.0, 1.0))
    norm = run.frame.scalars["grad_norm"].copy()
    norm[205:208] = np.nan
    assert class_of(watch(run.scalar("grad_norm", norm))) == [(218, 1.0)]
