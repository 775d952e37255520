"""Fusion: scores, confidence, and which cause takes which finding."""

from typing import Any

import pytest

from gradwatch_service.detect.rules import catalogue as rules
from gradwatch_service.diagnose.causes import catalogue
from gradwatch_service.diagnose.fusion import Verdict, cover, judge
from gradwatch_service.diagnose.situation import Held, Mover, Situation, worst
from gradwatch_service.domain import Evidence, Severity
from tests.service.diagnose.situations import held, situation

CAUSES = {cause.id: cause for cause in catalogue()}


def taken(s: Situation, *live: str) -> dict[str, set[str]]:
    """The findings each cause takes, best cause first."""
    return {
        claim.verdict.cause.id: {one.rule for one in claim.findings}
        for claim in cover(s, dict.fromkeys(live))
    }


def verdict(cause: str, *findings: Held, **known: Any) -> Verdict:
    return judge(CAUSES[cause], situation(*findings, **known))


@pytest.mark.parametrize("rule", [rule.id for rule in rules()])
def test_every_rule_alone_is_explained_by_one_cause(rule: str) -> None:
    claims = cover(situation(held(rule)), {})
    assert [[one.rule for one in claim.findings] for claim in claims] == [[rule]]


def test_the_score_is_the_sum_of_weights_minus_two() -> None:
    large, diverges = held("update-ratio-high"), held("loss-divergence")
    assert verdict("learning-rate-too-high").score == -2
    assert verdict("learning-rate-too-high", large).score == 1
    assert verdict("learning-rate-too-high", large, diverges).score == 3
    alone = verdict("learning-rate-too-high", large, hot_layers=("fc1",))
    assert alone.score == -1


@pytest.mark.parametrize(
    ("score", "confidence"), [(-2, 0.119), (0, 0.5), (1, 0.731), (2, 0.881), (3, 0.95), (9, 0.95)]
)
def test_confidence_is_the_sigmoid_of_the_score_and_at_most_95_percent(
    score: int, confidence: float
) -> None:
    assert Verdict(CAUSES["one-layer"], situation(), score, ()).confidence == confidence


def test_evidence_carries_its_weight_in_words() -> None:
    fact = verdict("learning-rate-too-high", held("update-ratio-high")).evidence
    assert fact == (Evidence("updates-large", "update-ratio-high was seen", 500, weight=3.0),)


def test_the_best_cause_takes_all_it_explains_and_the_next_the_rest() -> None:
    s = situation(
        held("update-ratio-high"),
        held("loss-divergence"),
        held("gradient-spike"),
        held("vanishing-absolute"),
    )
    assert taken(s) == {
        "learning-rate-too-high": {"update-ratio-high", "loss-divergence", "gradient-spike"},
        "vanishing-gradients": {"vanishing-absolute"},
    }


def test_findings_that_ended_are_evidence_but_need_no_cause() -> None:
    s = situation(held("update-ratio-high", ended=490), held("loss-divergence"))
    assert taken(s) == {"learning-rate-too-high": {"loss-divergence"}}
    assert cover(s, {})[0].verdict.score == 3


def test_a_live_cause_keeps_its_findings_against_one_a_point_better() -> None:
    s = situation(held("loss-divergence"), held("gradient-spike"), shifted=True)
    assert next(iter(taken(s))) == "distribution-shift"
    assert next(iter(taken(s, "learning-rate-too-high"))) == "learning-rate-too-high"


def test_the_runner_up_explains_the_worst_finding() -> None:
    s = situation(held("loss-divergence"), held("gradient-spike"), shifted=True)
    first = cover(s, {})[0]
    assert first.runner_up is not None
    assert first.runner_up.cause.id == "learning-rate-too-high"
    alone = cover(situation(held("vanishing-absolute")), {})[0]
    assert alone.runner_up is None


@pytest.mark.parametrize(
    ("named", "now", "kept"),
    [(True, True, "first"), (True, False, "first"), (False, False, "first"), (False, True, "now")],
)
def test_a_live_alert_keeps_its_first_mover_unless_it_was_a_guess(
    named: bool, now: bool, kept: str
) -> None:
    first, later = (Mover("first", "", None, named), Mover("now", "", None, now))
    s = situation(held("gradient-spike"), mover=later)
    mover = cover(s, {"data-outlier": first})[0].verdict.situation.mover
    assert mover is not None
    assert mover.name == kept


def test_the_worst_finding_is_the_most_severe_then_the_earliest() -> None:
    late = held("gradient-growth", Severity.ERROR, opened=600)
    early = held("loss-divergence", Severity.ERROR, opened=550)
    warning = held("gradient-spike", opened=500)
    assert worst((warning, late, early)) is early
