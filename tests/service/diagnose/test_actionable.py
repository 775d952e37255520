"""What may page a person: DETECTORS section 3, last paragraph."""

from dataclasses import replace

import numpy as np
import pytest

from gradwatch_service.diagnose.actionable import is_actionable
from gradwatch_service.diagnose.rates import Jump, Rates
from gradwatch_service.domain import Evidence, Severity
from tests.service.diagnose.situations import held, situation


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("attention-logit", Severity.ERROR),
        ("dead-layer", Severity.ERROR),
        ("early-explosion", Severity.ERROR),
        ("explosion-through-time", Severity.WARNING),
        ("gradient-growth", Severity.CRITICAL),
        ("init-gain-profile", Severity.WARNING),
        ("layer-spike", Severity.ERROR),
        ("loss-divergence", Severity.ERROR),
        ("loss-scale-collapse", Severity.ERROR),
        ("non-finite", Severity.ERROR),
        ("rank-outlier", Severity.ERROR),
        ("replica-divergence", Severity.CRITICAL),
        ("stale-run", Severity.ERROR),
        ("update-ratio-high", Severity.ERROR),
        ("update-step-huge", Severity.CRITICAL),
        ("weight-growth", Severity.ERROR),
    ],
)
def test_pages_alone(rule: str, severity: Severity) -> None:
    assert is_actionable([rule], situation(held(rule, severity)))


@pytest.mark.parametrize(
    "rule",
    [
        "attention-logit",
        "dead-layer",
        "gradient-growth",
        "layer-spike",
        "loss-divergence",
        "loss-scale-collapse",
        "update-ratio-high",
        "weight-growth",
    ],
)
def test_a_warning_of_these_does_not_page_alone(rule: str) -> None:
    assert not is_actionable([rule], situation(held(rule)))


@pytest.mark.parametrize(
    "rule",
    [
        "adam-moment-lag",
        "clip-saturation",
        "depth-explosion",
        "gradient-creep",
        "gradient-growth",
        "gradient-spike",
        "instability-onset",
        "loss-above-initial",
        "loss-oscillation",
        "loss-spike",
        "overflow-headroom",
        "slow-run",
        "underflow-risk",
        "vanishing-absolute",
    ],
)
def test_never_pages_alone(rule: str) -> None:
    assert not is_actionable([rule], situation(held(rule, Severity.ERROR, facts=())))


@pytest.mark.parametrize(
    ("rule", "partner"),
    [
        ("early-explosion", "update-step-huge"),
        ("gradient-growth", "loss-divergence"),
        ("gradient-growth", "update-step-huge"),
        ("instability-onset", "update-step-huge"),
        ("loss-divergence", "update-step-huge"),
    ],
)
def test_pages_together_with(rule: str, partner: str) -> None:
    assert is_actionable([rule], situation(held(rule), held(partner)))


@pytest.mark.parametrize("rule", ["gradient-growth", "loss-divergence"])
def test_restless_gradients_are_a_partner_as_an_error_only(rule: str) -> None:
    onset = "instability-onset"
    assert is_actionable([rule], situation(held(rule), held(onset, Severity.ERROR)))
    assert not is_actionable([rule], situation(held(rule), held(onset)))


@pytest.mark.parametrize("partner", ["loss-spike", "instability-onset", "update-step-huge"])
def test_a_loss_above_its_first_pages_as_an_error_with_a_partner(partner: str) -> None:
    rule = "loss-above-initial"
    assert is_actionable([rule], situation(held(rule, Severity.ERROR), held(partner)))
    assert not is_actionable([rule], situation(held(rule), held(partner)))


@pytest.mark.parametrize("partner", ["gradient-growth", "gradient-spike", "non-finite"])
def test_an_explosion_through_time_that_is_clipped_pages_with_a_partner(partner: str) -> None:
    rule = "explosion-through-time"
    assert is_actionable([rule], situation(held(rule), held(partner), clip_norm=1.0))
    assert not is_actionable([rule], situation(held(rule, Severity.ERROR), clip_norm=1.0))


def test_a_critical_explosion_through_time_pages_even_if_clipped() -> None:
    s = situation(held("explosion-through-time", Severity.CRITICAL), clip_norm=1.0)
    assert is_actionable(["explosion-through-time"], s)


@pytest.mark.parametrize(
    ("uw", "rise", "pages"),
    [(0.01, 0.0, True), (0.009, 0.0, False), (0.009, -1.0, True), (None, 0.0, False)],
)
def test_units_that_die_of_large_updates_page(uw: float | None, rise: float, pages: bool) -> None:
    dead = (Evidence("dead-layer", "97% of its gradient is zero", 500, 0.97),)
    s = situation(held("dead-layer", facts=dead), uw=uw, uw_rise=rise)
    assert is_actionable(["dead-layer"], s) is pages


@pytest.mark.parametrize(
    ("uw", "rise", "ordinal", "large"),
    [
        (0.05, 0.0, 500, True),
        (0.02, 2.0, 500, True),
        (0.02, 1.9, 500, False),
        (0.02, 0.0, 31, True),
        (0.019, 9.0, 31, False),
        (None, 0.0, 31, False),
    ],
)
def test_updates_are_large_at_five_percent_or_two_and_new(
    uw: float | None, rise: float, ordinal: int, large: bool
) -> None:
    s = situation(held("loss-divergence"), uw=uw, uw_rise=rise, ordinal=ordinal)
    assert is_actionable(["loss-divergence"], s) is large


def test_large_updates_at_which_the_run_learns_are_no_partner() -> None:
    learns = held("update-ratio-high", Severity.INFO)
    s = situation(held("loss-divergence"), learns, uw=0.06)
    assert not is_actionable(["loss-divergence"], s)


def test_an_infinity_the_loss_scaler_skipped_pages_nobody() -> None:
    assert not is_actionable(["non-finite"], situation(held("non-finite", Severity.INFO)))


@pytest.mark.parametrize(
    ("uw", "rise", "pages"), [(0.012, 2.0, True), (0.012, 1.9, False), (0.009, 3.0, False)]
)
def test_larger_updates_page_from_one_percent_and_two_bits_as_the_rate_rises(
    uw: float, rise: float, pages: bool
) -> None:
    rising = Rates(recent=np.array([0.1, 0.2]))
    s = situation(held("update-ratio-high"), uw=uw, uw_rise=rise, rates=rising)
    assert is_actionable(["update-ratio-high"], s) is pages
    assert not is_actionable(["update-ratio-high"], replace(s, falling=True))
    assert not is_actionable(["update-ratio-high"], replace(s, rates=Rates()))
    jumped = Rates(jump=Jump(490, 490, 0.1, 0.2))
    assert is_actionable(["update-ratio-high"], replace(s, rates=jumped)) is pages


def test_restless_gradients_of_a_run_that_learns_page_nobody() -> None:
    s = situation(held("instability-onset"), uw=0.06)
    assert is_actionable(["instability-onset"], s)
    assert not is_actionable(["instability-onset"], replace(s, falling=True))


def test_only_the_alerts_own_findings_page() -> None:
    s = situation(held("non-finite", Severity.ERROR), held("gradient-spike"))
    assert not is_actionable(["gradient-spike"], s)


@pytest.mark.parametrize(("skips", "pages"), [(9, False), (10, True)])
def test_spikes_page_once_the_guard_has_used_up_its_skips(skips: int, pages: bool) -> None:
    for rule in ("gradient-spike", "loss-spike"):
        assert is_actionable([rule], situation(held(rule), skips=skips)) is pages


@pytest.mark.parametrize("rule", ["adam-moment-lag", "gradient-spike"])
@pytest.mark.parametrize(
    ("uw", "rise", "pages"), [(0.01, 2.0, True), (0.009, 2.0, False), (0.01, 1.9, False)]
)
def test_errors_whose_updates_have_grown_page(
    rule: str, uw: float, rise: float, pages: bool
) -> None:
    s = situation(held(rule, Severity.ERROR, facts=()), uw=uw, uw_rise=rise)
    assert is_actionable([rule], s) is pages


@pytest.mark.parametrize(("kind", "pages"), [(1.0, False), (3.0, True)])
def test_a_jump_of_norm_and_loss_that_stays_pages(kind: float, pages: bool) -> None:
    spike = (Evidence("spike-class", "", 500, kind),)
    s = situation(
        held("loss-divergence", Severity.WARNING, facts=()),
        held("gradient-spike", Severity.ERROR, facts=spike),
    )
    assert is_actionable(["loss-divergence"], s) is pages
