"""What may page a person: DETECTORS section 3, last paragraph."""

from dataclasses import replace

import pytest

from gradwatch_service.diagnose.actionable import is_actionable
from gradwatch_service.domain import Evidence, Severity
from tests.service.diagnose.situations import held, situation

LOSS = (Evidence("early-loss", "the loss is 12 times its first value", 9),)


@pytest.mark.parametrize(
    ("rule", "severity"),
    [
        ("non-finite", Severity.ERROR),
        ("init-gain-profile", Severity.WARNING),
        ("update-step-huge", Severity.CRITICAL),
        ("update-ratio-high", Severity.ERROR),
        ("attention-logit", Severity.ERROR),
        ("loss-scale-collapse", Severity.ERROR),
        ("rank-outlier", Severity.ERROR),
        ("replica-divergence", Severity.CRITICAL),
        ("stale-run", Severity.ERROR),
    ],
)
def test_pages_alone(rule: str, severity: Severity) -> None:
    assert is_actionable([rule], situation(held(rule, severity)))


@pytest.mark.parametrize(
    "rule",
    [
        "gradient-spike",
        "loss-spike",
        "gradient-growth",
        "early-explosion",
        "loss-divergence",
        "loss-above-initial",
        "explosion-through-time",
        "depth-explosion",
        "overflow-headroom",
        "vanishing-absolute",
        "adam-moment-lag",
        "clip-saturation",
        "dead-layer",
        "gradient-creep",
        "instability-onset",
        "layer-spike",
        "loss-oscillation",
        "slow-run",
        "underflow-risk",
        "weight-growth",
    ],
)
def test_never_pages_alone(rule: str) -> None:
    assert not is_actionable([rule], situation(held(rule, Severity.ERROR, facts=())))


@pytest.mark.parametrize(
    ("rule", "partner"),
    [
        ("gradient-growth", "loss-divergence"),
        ("gradient-growth", "update-step-huge"),
        ("gradient-growth", "instability-onset"),
        ("instability-onset", "update-ratio-high"),
        ("loss-divergence", "instability-onset"),
        ("loss-above-initial", "instability-onset"),
        ("early-explosion", "update-ratio-high"),
        ("loss-divergence", "gradient-spike"),
        ("loss-divergence", "update-ratio-high"),
        ("loss-above-initial", "loss-spike"),
        ("loss-above-initial", "update-ratio-high"),
        ("explosion-through-time", "gradient-growth"),
        ("explosion-through-time", "gradient-spike"),
        ("explosion-through-time", "non-finite"),
    ],
)
def test_pages_together_with(rule: str, partner: str) -> None:
    assert is_actionable([rule], situation(held(rule), held(partner)))


def test_large_updates_at_which_the_run_learns_are_no_partner() -> None:
    learns = held("update-ratio-high", Severity.INFO)
    assert not is_actionable(
        ["early-explosion"], situation(held("early-explosion"), learns, uw=0.03)
    )


def test_an_infinity_the_loss_scaler_skipped_pages_nobody() -> None:
    assert not is_actionable(["non-finite"], situation(held("non-finite", Severity.INFO)))


def test_a_divergence_long_after_the_spike_does_not_page() -> None:
    spike = held("gradient-spike", opened=440)
    assert not is_actionable(["loss-divergence"], situation(spike, held("loss-divergence")))


def test_an_early_explosion_of_the_loss_itself_pages() -> None:
    assert is_actionable(["early-explosion"], situation(held("early-explosion", facts=LOSS)))


@pytest.mark.parametrize(
    ("uw", "rise", "pages"), [(0.012, 2.0, True), (0.012, 1.9, False), (0.009, 3.0, False)]
)
def test_larger_updates_page_from_one_percent_and_two_bits(
    uw: float, rise: float, pages: bool
) -> None:
    s = situation(held("update-ratio-high"), uw=uw, uw_rise=rise)
    assert is_actionable(["update-ratio-high"], s) is pages
    assert not is_actionable(["update-ratio-high"], replace(s, falling=True))


def test_restless_gradients_of_a_run_that_learns_page_nobody() -> None:
    s = situation(held("instability-onset"), uw=0.03)
    assert is_actionable(["instability-onset"], s)
    assert not is_actionable(["instability-onset"], replace(s, falling=True))


def test_a_large_ratio_counts_before_its_rule_can_speak() -> None:
    assert is_actionable(["early-explosion"], situation(held("early-explosion"), uw=0.02))


def test_only_the_alerts_own_findings_page() -> None:
    s = situation(held("non-finite", Severity.ERROR), held("gradient-spike"))
    assert not is_actionable(["gradient-spike"], s)


@pytest.mark.parametrize("rule", ["attention-logit", "loss-scale-collapse"])
def test_what_is_only_a_warning_of_theirs_pages_nobody(rule: str) -> None:
    assert not is_actionable([rule], situation(held(rule)))


@pytest.mark.parametrize(("skips", "pages"), [(9, False), (10, True)])
def test_spikes_page_once_the_guard_has_used_up_its_skips(skips: int, pages: bool) -> None:
    for rule in ("gradient-spike", "loss-spike"):
        assert is_actionable([rule], situation(held(rule), skips=skips)) is pages
