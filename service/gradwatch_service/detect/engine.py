"""Runs the substrate once and every rule over it: frames in, views and findings out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
        return {rule: held.episode for rule, held in self.rules.items() if held.episode is not None}


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
    base, frame = substrate.align(state.substrate, frame, layers)
    state = replace(state, substrate=substrate.told(base, frame))
    seen: list[Seen] = []
    with np.errstate(all="ignore"):
        for part in substrate.segments(base, frame):
            state, one = _observe(state, part)
            seen.append(one)
    return state, seen


def _observe(state: DetectorState, part: Frame) -> tuple[DetectorState, Seen]:
    base, view = substrate.observe(state.substrate, part)
    rules: dict[str, RuleState] = {}
    findings: list[Finding] = []
    for rule in catalogue(state.changes):
        rules[rule.id], found = _judge(rule, state.rules[rule.id], view)
        findings += found
    findings.sort(key=lambda finding: finding.ordinal)  # stable: catalogue order within a report
    state = DetectorState(base, rules, state.changes)
    return state, Seen(view, tuple(findings), state.episodes)


def _judge(rule: Rule[Any], state: RuleState, view: View) -> tuple[RuleState, list[Finding]]:
    memory, signal = rule.update(state.memory, view)
    episode, findings = follow(rule.id, rule.clear_after, state.episode, signal, view)
    if memory is state.memory and episode is state.episode:
        return state, findings
    return RuleState(memory, episode), findings
