"""loss-divergence."""

import numpy as np
import pytest

from gradwatch_service.domain import MISSING32
from tests.service.detect.watching import Watched, watch
from tests.streams import Scenario, steady

RULE = "loss-divergence"
SIGN = {"grad_norm": 1.5}  # more than three of the smallest scales up


def risen(
    factor: float, *, at: int = 200, usual: float = 1.0, sign_at: int | None = 200
) -> Scenario:
    run, loss, norm = steady(400), np.full(400, usual), np.ones(400)
    loss[at:] = usual * factor if usual > 0 else usual + factor
    if sign_at is not None:
        norm[sign_at] = SIGN["grad_norm"]
    return run.scalar("loss", loss).scalar("grad_norm", norm)


def test_eight_medians_in_a_row_above_the_old_level_open_it() -> None:
    # Half of 16 new losses: report 207; eight in a row: report 214.
    found = watch(risen(1.6)).of(RULE)
    assert found[0] == (214, "opened", "warning")


def test_it_ends_once_the_reference_has_followed() -> None:
    opened, cleared = watch(risen(1.6)).of(RULE)
    # 32 of the 64 reference losses are new from report 247 on.
    assert cleared == (247 + 31, "cleared", "warning")
    assert opened[1] == "opened"


def test_less_than_half_as_much_again_is_none() -> None:
    assert watch(risen(1.49)).of(RULE) == []


def test_alone_it_has_too_many_false_alarms() -> None:
    assert watch(risen(1.6, sign_at=None)).of(RULE) == []
    assert watch(risen(1.6, sign_at=181)).of(RULE) == []
    assert watch(risen(1.6, sign_at=182)).of(RULE)[0] == (214, "opened", "warning")
    assert watch(risen(1.6, sign_at=230)).of(RULE)[0] == (230, "opened", "warning")


@pytest.mark.parametrize("sign", ["ratio", "norm", "loss"])
def test_large_updates_and_lost_values_corroborate_too(sign: str) -> None:
    run = risen(1.6, sign_at=None)
    if sign == "ratio":
        updates = run.frame.layers["update_norm"].copy()
        updates[210] = 8 * 0.021
        run = run.stat("update_norm", updates)
    else:
        name = {"norm": "grad_norm", "loss": "loss"}[sign]
        values = run.frame.scalars[name].copy()
        values[210] = np.nan
        run = run.scalar(name, values)
    # A lost loss is no loss: everything comes one report later.
    assert watch(run).of(RULE)[0] == (214 + (sign == "loss"), "opened", "error")


def test_a_norm_alone_is_an_error_where_the_updates_are_not_known() -> None:
    run = risen(1.6).stat("update_norm", np.full(8, MISSING32))
    assert watch(run).of(RULE)[0] == (214, "opened", "error")


def test_it_needs_80_losses() -> None:
    assert watch(risen(1.6, at=62, sign_at=78)).of(RULE)[0] == (86, "opened", "warning")


def test_a_noisy_loss_must_leave_its_noise() -> None:
    run = risen(1.6)
    wobble = np.exp2(np.where(np.arange(400) % 2, 1.0, -1.0))
    assert watch(run.scalar("loss", run.frame.scalars["loss"] * wobble)).of(RULE) == []


def test_a_negative_loss_is_judged_by_its_size() -> None:
    found: Watched = watch(risen(0.7, usual=-1.0))
    assert found.of(RULE)[0] == (214, "opened", "warning")
    assert watch(risen(0.4, usual=-1.0)).of(RULE) == []


def test_the_evidence_is_the_loss() -> None:
    fact = watch(risen(2.0)).first(RULE).evidence[0]
    assert fact.value == 2.0
    assert "now 2, 8 reports in a row more than 50% above the median of the 64" in fact.text


def ramped(rate: float, loss_bits: float) -> Scenario:
    """From report 200 on the learning rate rises by this factor a report, and the loss as well."""
    since = np.maximum(np.arange(600) - 200, 0)
    run = steady(600).scalar("grad_norm", 1.0).scalar("lr", 1e-3 * rate**since)
    return run.scalar("loss", np.exp2(loss_bits * since))


def test_a_loss_that_rises_from_its_best_at_a_record_of_the_rate_is_an_error() -> None:
    found = watch(ramped(1.01, 0.004))
    step, kind, severity = found.of(RULE)[0]
    assert (kind, severity) == ("opened", "error")
    assert 200 + 90 < step < 200 + 150
    (fact,) = found.first(RULE).evidence
    assert (fact.name, fact.step) == ("rate-record", step)
    assert "times its highest of 8 blocks of 16 reports ago" in fact.text


def test_neither_a_rising_rate_nor_a_rising_loss_alone_is_one() -> None:
    assert watch(ramped(1.01, 0.0)).of(RULE) == []
    assert watch(ramped(1.0, 0.004)).of(RULE) == []
    assert watch(ramped(1.01, -0.004)).of(RULE) == []


def test_a_warm_restart_is_no_record() -> None:
    run = ramped(1.0, 0.004)
    rate = np.where(np.arange(600) % 200 < 100, 1e-3, 1e-5)
    assert watch(run.scalar("lr", rate)).of(RULE) == []


def test_four_times_the_level_before_needs_no_other_sign() -> None:
    assert watch(risen(4.1, sign_at=None)).of(RULE)[0] == (214, "opened", "warning")
    assert watch(risen(3.9, sign_at=None)).of(RULE) == []
