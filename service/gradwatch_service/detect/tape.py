"""A stream on tape: what all rules read is computed once, and each rule as set judges it once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from gradwatch_service.detect import engine, substrate
from gradwatch_service.detect.engine import RuleState, Seen
from gradwatch_service.detect.episodes import Episode, Finding
from gradwatch_service.detect.rule import Rule
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Frame, JsonValue, LayerTable

# What a rule made of each view in turn: its findings, and its newest episode after it.
Track: TypeAlias = tuple[tuple[tuple[Finding, ...], Episode | None], ...]
Pace: TypeAlias = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Take:
    """A frame: its views, and the events that came with it."""

    views: Sequence[View]
    events: tuple[Mapping[str, JsonValue], ...]


@dataclass(frozen=True, slots=True)
class Tape:
    """A stream whose first layer table is ``layers``."""

    layers: LayerTable
    takes: Sequence[Take]

    def __len__(self) -> int:
        return sum(len(view) for take in self.takes for view in take.views)


def record(layers: LayerTable, log: Iterable[tuple[Frame, LayerTable]]) -> Tape:
    """Put a stream on tape."""
    base, takes = substrate.init(layers), []
    with np.errstate(all="ignore"):
        for frame, table in log:
            base, views = substrate.views(base, frame, table)
            takes.append(Take(views, frame.events))
    return Tape(layers, takes)


def track(tape: Tape, rule: Rule[Any], pace: Pace) -> Track:
    """What a rule makes of a stream; ``pace`` is called now and then, and may raise to end it."""
    state = RuleState(rule.init(tape.layers))
    steps: list[tuple[tuple[Finding, ...], Episode | None]] = []
    with np.errstate(all="ignore"):
        for take in tape.takes:
            pace()
            for view in take.views:
                state, findings = engine.judge(rule, state, view)
                steps.append((tuple(findings), state.episode))
    return tuple(steps)


def played(tape: Tape, tracks: Mapping[str, Track]) -> Iterator[tuple[Take, list[Seen]]]:
    """The frames, as they were seen by the rules of these tracks, in the order of the catalogue."""
    steps = zip(*tracks.values(), strict=True)
    for take in tape.takes:
        seen = []
        for view, step in zip(take.views, steps, strict=False):
            held = {
                rule: episode
                for rule, (_, episode) in zip(tracks, step, strict=False)
                if episode is not None
            }
            seen.append(engine.gathered(view, (findings for findings, _ in step), held))
        yield take, seen
