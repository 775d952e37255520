"""Runs the substrate once and every rule over it: frames in, views and findings out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from gradwatch_service.detect import substrate
from gradwatch_service.detect.episodes import Episode, Finding, follow
from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.rules import catalogue
from gradwatch_service.detect.substrate import SubstrateState
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Frame, LayerTable, RuleChanges


@dataclass(frozen=True, slots=True)
class RuleState:
    """What a rule remembers, and its newest episode."""

    memory: Any
    episode: Episode | None = None


@dataclass(frozen=True, slots=True)
class DetectorState:
    """The state of every rule over one writer's reports; a value, never changed in place.

    ``changes``: what is set of the rules.
    """

    substrate: SubstrateState
    rules: Mapping[str, RuleState]
    changes: RuleChanges = ()

    @property
    def episodes(self) -> Mapping[str, Episode]:
        """The newest episode of each rule that ever held."""
        return newest(self.rules)


@dataclass(frozen=True, slots=True)
class Seen:
    """One segment of a frame: the view, the findings in it by report, the episodes after it."""

    view: View
    findings: tuple[Finding, ...]
    episodes: Mapping[str, Episode]


def init(layers: LayerTable, changes: RuleChanges = ()) -> DetectorState:
    """The state before the first report."""
    return DetectorState(
        substrate=substrate.init(layers),
        rules={rule.id: RuleState(rule.init(layers)) for rule in catalogue(changes)},
        changes=changes,
    )


def update(
    state: DetectorState, frame: Frame, layers: LayerTable
) -> tuple[DetectorState, list[Seen]]:
    """Fold one frame whose columns are ``layers`` into the state.

    The views' columns are all layers met so far, ``view.layers``.
    """
    rules, seen = state.rules, []
    with np.errstate(all="ignore"):
        base, views = substrate.views(state.substrate, frame, layers)
        for view in views:
            rules, one = _observe(rules, view, state.changes)
            seen.append(one)
    return DetectorState(base, rules, state.changes), seen


def gathered(
    view: View, found: Iterable[Sequence[Finding]], episodes: Mapping[str, Episode]
) -> Seen:
    """What was seen in a segment; ``found``: by each rule, in the order of the catalogue."""
    findings = sorted(chain.from_iterable(found), key=lambda finding: finding.ordinal)  # stable
    return Seen(view, tuple(findings), episodes)


def judge(rule: Rule[Any], state: RuleState, view: View) -> tuple[RuleState, list[Finding]]:
    """What one rule makes of the next view."""
    memory, signal = rule.update(state.memory, view)
    episode, findings = follow(rule.id, rule.clear_after, state.episode, signal, view)
    if memory is state.memory and episode is state.episode:
        return state, findings
    return RuleState(memory, episode), findings


def _observe(
    before: Mapping[str, RuleState], view: View, changes: RuleChanges
) -> tuple[Mapping[str, RuleState], Seen]:
    rules: dict[str, RuleState] = {}
    found: list[list[Finding]] = []
    for rule in catalogue(changes):
        rules[rule.id], findings = judge(rule, before[rule.id], view)
        found.append(findings)
    return rules, gathered(view, found, newest(rules))


def newest(rules: Mapping[str, RuleState]) -> Mapping[str, Episode]:
    """The newest episode of each rule that ever held."""
    return {rule: held.episode for rule, held in rules.items() if held.episode is not None}
