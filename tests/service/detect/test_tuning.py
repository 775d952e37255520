"""What may be set of rules: every threshold is told of, in range, and really changes the rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradwatch_service.detect import engine
from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.tape import record, track
from gradwatch_service.detect.tuning import as_changes, muted, sees, thresholds
from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.rehearsal import rehearse
from gradwatch_service.domain import Facts, RuleChanges
from tests.scenarios import FAULTY, HEALTHY, scenario

RULES = catalogue()
SPIKES: RuleChanges = (("gradient-spike", "threshold", 7.0),)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_threshold_tells_what_it_means_and_its_default_is_in_range(rule: Rule[Any]) -> None:
    assert thresholds(rule) or rule.id == "stale-run"
    for one in thresholds(rule):
        assert one.low <= one.default <= one.high
        assert one.low < one.high
        assert len(one.meaning.split()) >= 3
        assert all(isinstance(x, int) is one.is_whole for x in (one.default, one.low, one.high))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_in_a_sentence_what_it_sees(rule: Rule[Any]) -> None:
    assert len(sees(rule).split()) >= 4


def test_without_changes_the_rules_are_the_very_same() -> None:
    assert catalogue(()) == RULES


def test_a_changed_rule_has_the_value_and_nothing_else_of_it_changes() -> None:
    before = {rule.id: rule for rule in RULES}
    after = {rule.id: rule for rule in catalogue(SPIKES)}
    expected = replace(before["gradient-spike"], threshold=7.0)  # type: ignore[type-var]
    assert after == {**before, "gradient-spike": expected}


def test_what_no_rule_has_counts_for_nothing_after_an_upgrade() -> None:
    changes = as_changes({"gone": {"limit": 1.0}, "loss-spike": {"old": 2.0, "enabled": True}})
    assert catalogue(changes) == RULES


def test_a_rule_that_is_switched_off_is_not_there() -> None:
    ids = [rule.id for rule in catalogue(as_changes({"loss-spike": {"enabled": False}}))]
    assert ids == [rule.id for rule in RULES if rule.id != "loss-spike"]


def test_the_form_of_changes_does_not_depend_on_the_order_they_were_made_in() -> None:
    one = as_changes({"b": {"y": 1.0, "x": 2.0}, "a": {"z": 3.0}})
    other = as_changes({"a": {"z": 3.0}, "b": {"x": 2.0, "y": 1.0}})
    assert one == other == (("a", "z", 3.0), ("b", "x", 2.0), ("b", "y", 1.0))


def test_only_rules_that_may_not_notify_are_muted() -> None:
    body = {"loss-spike": {"notify": False}, "non-finite": {"notify": True, "enabled": False}}
    assert muted(as_changes(body)) == {"loss-spike"}


def test_a_rule_switched_off_finds_nothing_where_it_found_something() -> None:
    run = scenario("slow growth")
    state, _ = engine.update(engine.init(run.layers), run.frame, run.layers)
    loud = next(iter(state.episodes))
    off = as_changes({loud: {"enabled": False}})
    without, _ = engine.update(engine.init(run.layers, off), run.frame, run.layers)
    assert loud not in without.episodes
    assert {rule: one for rule, one in state.episodes.items() if rule != loud} == without.episodes


@pytest.mark.parametrize("name", FAULTY)
def test_an_alert_all_of_whose_rules_may_not_notify_pages_nobody(name: str) -> None:
    run = scenario(name)
    silent = as_changes({rule.id: {"notify": False} for rule in RULES})
    loud_state, _ = fold.update(fold.init(run.layers, Facts()), run.frame, run.layers)
    state, _ = fold.update(fold.init(run.layers, Facts(rules=silent)), run.frame, run.layers)
    assert not any(part.actionable for part in state.parts.values())
    assert state.parts.keys() == loud_state.parts.keys()
    severities = {cause: part.severity for cause, part in state.parts.items()}
    assert severities == {cause: part.severity for cause, part in loud_state.parts.items()}


def at(end: str) -> RuleChanges:
    """Every threshold at one end of its range."""
    return as_changes(
        {rule.id: {one.name: getattr(one, end) for one in thresholds(rule)} for rule in RULES}
    )


@pytest.mark.parametrize("end", ["low", "high"])
@pytest.mark.parametrize("name", [*HEALTHY, *FAULTY])
def test_a_rehearsal_says_what_folding_says_at_any_end_of_the_ranges(name: str, end: str) -> None:
    run, facts = scenario(name), Facts(rules=at(end))
    state, outcome = fold.update(fold.init(run.layers, facts), run.frame, run.layers)
    tape = record(run.layers, [(run.frame, run.layers)])
    tracks = {rule.id: track(tape, rule, int) for rule in catalogue(facts.rules)}
    told = rehearse(tape, tracks, facts, int)
    assert told.parts == state.parts
    assert told.events == outcome.events
