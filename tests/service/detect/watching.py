"""Runs the engine over a stream, cut as wished, and collects what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradwatch_service.detect import engine
from gradwatch_service.detect.engine import DetectorState, Seen
from gradwatch_service.detect.episodes import Finding
from gradwatch_service.domain import LayerTable
from tests.streams import Scenario, cut


@dataclass(frozen=True)
class Watched:
    """What the engine made of a stream."""

    state: DetectorState
    seen: tuple[Seen, ...]

    @property
    def findings(self) -> list[Finding]:
        return [finding for seen in self.seen for finding in seen.findings]

    def of(self, rule: str) -> list[tuple[int, str, str]]:
        """Ordinal, kind and severity of each finding of a rule."""
        return [(x.ordinal, x.kind, x.severity.label) for x in self.findings if x.rule == rule]

    def first(self, rule: str) -> Finding:
        return next(x for x in self.findings if x.rule == rule)

    def column(self, track: str, name: str) -> np.ndarray:
        """A field of a track over all reports."""
        return np.concatenate([getattr(getattr(x.view, track), name) for x in self.seen])


def watch(run: Scenario, at: Sequence[int] = ()) -> Watched:
    """Feed a stream to a fresh engine, cut before the reports ``at``."""
    state = engine.init(run.layers)
    seen: list[Seen] = []
    for frame in cut(run.frame, at):
        state, new = engine.update(state, frame, run.layers if frame.layers else LayerTable())
        seen += new
    return Watched(state, tuple(seen))


def every(step: int, run: Scenario) -> Sequence[int]:
    """Cuts that make frames of this many reports."""
    return range(step, len(run), step)
