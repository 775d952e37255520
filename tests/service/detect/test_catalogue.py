"""What every rule must do; a new file in ``detect/rules`` is found and tested by itself."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwatch_service.detect import engine, rules
from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.domain import MISSING32, MISSING64, Severity
from tests.scenarios import FAULTY, HEALTHY, scenario
from tests.service.detect.watching import watch
from tests.streams import Scenario

RULES = catalogue()
# The scenarios that show each rule's fault.
SHOWN_BY = {
    "depth-explosion": "deep signal grows",
    "depth-vanishing": "vanishing sigmoid",
    "early-explosion": "early explosion",
    "explosion-through-time": "through time",
    "gradient-growth": "fast growth",
    "gradient-spike": "poisoned batch",
    "init-gain-profile": "bad initialisation",
    "loss-above-initial": "worse than new",
    "loss-divergence": "learning rate jump",
    "loss-spike": "poisoned batch",
    "non-finite": "not a number in one layer",
    "overflow-headroom": "near overflow",
    "update-ratio-high": "learning rate jump",
    "update-step-huge": "learning rate too high",
    "vanishing-absolute": "vanished",
    "clip-ineffective": "poisoned batches",
    "clip-saturation": "clipped away",
    "gradient-creep": "creeping growth",
    "instability-onset": "restless",
    "loss-oscillation": "swinging",
    "loss-plateau": "converged",
    "loss-scale-collapse": "collapsing loss scale",
    "rank-outlier": "rank out of line",
    "replica-divergence": "replicas drift apart",
    "slow-run": "slow machine",
    "stale-run": "gone silent",
    "update-ratio-low": "tiny learning rate",
    "adam-moment-lag": "lagging moment",
    "attention-logit": "saturating attention",
    "dead-layer": "dying units",
    "layer-spike": "surging embedding",
    "underflow-risk": "underflowing",
    "weight-growth": "swelling weights",
}
# Runs that need nobody, in which a finding of this rule is right as information.
EXPECTED_INFORMATION = {
    "loss scaler calibration": {"non-finite"},
    "heavy tails": {"gradient-spike"},
    "huge first loss scale": {"non-finite"},
    "announced phase": {"gradient-spike"},
    "converged": {"loss-plateau"},
    "players take turns": {"loss-plateau"},
    "poisoned batch": {"clip-ineffective", "gradient-spike", "loss-spike"},
    "tiny learning rate": {"update-ratio-low"},
}


def test_the_catalogue_is_one_rule_a_file_in_order_of_the_ids() -> None:
    files = sorted(path.stem for path in Path(rules.__path__[0]).glob("[a-z]*.py"))
    assert [rule.id for rule in RULES] == [name.replace("_", "-") for name in files]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_says_what_it_looks_for_and_when_it_ends(rule: Rule[Any]) -> None:
    module = inspect.getmodule(type(rule))
    assert (module.__doc__ or "").startswith(f"{rule.id}: ")
    assert type(rule).__name__ == rule.id.title().replace("-", "")
    text = type(rule).__doc__ or ""
    assert "nds after" in text
    assert str(rule.clear_after) in text


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_a_frozen_value_of_typed_thresholds(rule: Rule[Any]) -> None:
    fields = dataclasses.fields(rule)
    assert fields
    assert all(type(getattr(rule, field.name)) in (int, float) for field in fields)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(rule, fields[0].name, 0)


@pytest.mark.parametrize("name", HEALTHY)
def test_no_rule_warns_about_a_healthy_run(name: str) -> None:
    found = watch(scenario(name)).findings
    assert [x for x in found if x.severity >= Severity.WARNING] == []
    assert {x.rule for x in found} <= EXPECTED_INFORMATION.get(name, set())


@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_is_found_not_before_it_begins(name: str) -> None:
    run = scenario(name)
    found = [x for x in watch(run).findings if x.severity >= Severity.WARNING]
    assert found
    assert found[0].ordinal >= run.onset


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_every_rule_finds_its_fault(rule: Rule[Any]) -> None:
    assert watch(scenario(SHOWN_BY[rule.id])).of(rule.id)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_values_that_are_not_numbers_never_silence_a_rule_afterwards(rule: Rule[Any]) -> None:
    run = scenario(SHOWN_BY[rule.id])
    clean, after = watch(run).first(rule.id), 4
    for value in (np.nan, np.inf, -np.inf, MISSING64):
        watched = watch(_poisoned_before(run, after, value))
        assert watched.first(rule.id).ordinal <= clean.ordinal + after + 48, value
        episode = watched.state.episodes[rule.id]
        assert episode.last_ordinal >= clean.ordinal + after
        assert episode.severity >= clean.severity


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_layer_that_is_never_a_number_hides_no_fault_elsewhere(rule: Rule[Any]) -> None:
    run = scenario(SHOWN_BY[rule.id])
    clean = watch(run).first(rule.id)
    spared = [column for column in range(len(run.layers)) if column not in clean.columns]
    if not spared:
        return
    layers = {name: values.copy() for name, values in run.frame.layers.items()}
    for name, values in layers.items():
        if not name.startswith("rank_"):  # columns of which are ranks: all of them are needed
            values[:, spared[-1]] = np.nan
    lost = watch(replace(run, frame=replace(run.frame, layers=layers)))
    assert lost.first(rule.id).ordinal <= clean.ordinal + 48


def _poisoned_before(run: Scenario, count: int, value: float) -> Scenario:
    """The stream with ``count`` more reports before the fault, in which nothing is a number."""
    at = run.onset
    bad = MISSING32 if value is MISSING64 else np.float32(value)

    def widen(values: np.ndarray) -> np.ndarray:
        filler = bad if values.dtype == np.float32 else value
        rows = np.full((count, *values.shape[1:]), filler, values.dtype)
        return np.concatenate([values[:at], rows, values[at:]])

    return _mapped(run, widen)


def _mapped(run: Scenario, widen: Callable[[np.ndarray], np.ndarray]) -> Scenario:
    frame, time = run.frame, widen(run.frame.time)
    wider = replace(
        frame,
        steps=np.arange(len(time)),
        time=time,
        scalars={name: widen(values) for name, values in frame.scalars.items()},
        layers={name: widen(values) for name, values in frame.layers.items()},
        profiles={name: widen(values) for name, values in frame.profiles.items()},
    )
    return replace(run, frame=wider)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_fault_is_found_as_well_where_few_reports_measure(rule: Rule[Any]) -> None:
    # Of the first 32 reports, which early-explosion judges, every 10th would be too few.
    by = 4 if rule.id == "early-explosion" else 10
    run = scenario(SHOWN_BY[rule.id])
    clean, sparse = watch(run).first(rule.id), watch(_stretched(run, by)).first(rule.id)
    assert by * run.onset <= sparse.ordinal <= by * (clean.ordinal + 32)
    assert sparse.severity >= min(clean.severity, Severity.WARNING)


def _stretched(run: Scenario, by: int) -> Scenario:
    """The stream with reports that measure nothing in between."""

    def widen(values: np.ndarray) -> np.ndarray:
        missing = MISSING32 if values.dtype == np.float32 else MISSING64
        wide = np.full((by * len(values), *values.shape[1:]), missing, values.dtype)
        wide[::by] = values
        return wide

    return _mapped(run, widen)


@pytest.mark.parametrize("name", FAULTY)
def test_states_are_values_a_second_update_gives_the_same(name: str) -> None:
    run = scenario(name)
    state, before = engine.update(engine.init(run.layers), run.frame, run.layers)
    again, after = engine.update(engine.init(run.layers), run.frame, run.layers)
    _, once = engine.update(state, run.frame, run.layers)
    _, twice = engine.update(state, run.frame, run.layers)
    assert [x.findings for x in once] == [x.findings for x in twice]
    assert [x.findings for x in before] == [x.findings for x in after]
    assert state.episodes == again.episodes
