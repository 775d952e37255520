"""The fold of one writer's reports: detection and diagnosis together, frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gradwatch_service.detect import engine
from gradwatch_service.detect.engine import DetectorState, Seen
from gradwatch_service.detect.episodes import Episode, Finding
from gradwatch_service.detect.scalars import NORM
from gradwatch_service.detect.view import View
from gradwatch_service.diagnose.cases import (
    Case,
    Moment,
    promote,
    settle,
    touch,
    trouble_since,
)
from gradwatch_service.diagnose.fusion import cover
from gradwatch_service.diagnose.guard import Norms, armed, skip_above
from gradwatch_service.diagnose.history import Break, History
from gradwatch_service.diagnose.situation import RECENTLY, SPIKES, Held, hold
from gradwatch_service.diagnose.survey import initial_gains, survey
from gradwatch_service.diagnose.troubles import noted
from gradwatch_service.domain import (
    AlertEvent,
    AlertPart,
    Facts,
    Frame,
    Guard,
    JsonValue,
    LayerTable,
)

# What a state takes in memory, its rings full: measured, and held to by a test.
BYTES_A_WRITER, BYTES_A_LAYER = 57_000, 800


@dataclass(frozen=True, slots=True)
class WriterState:
    """Everything remembered of one writer: a pure function of the sequence of its reports."""

    detector: DetectorState
    facts: Facts
    history: History
    norms: Norms = field(default_factory=Norms)
    held: Mapping[str, Held] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)

    @property
    def ordinal(self) -> int:
        """How many reports were folded."""
        return self.detector.substrate.ordinal

    @property
    def size(self) -> int:
        """About how many bytes it takes in memory."""
        return BYTES_A_WRITER + BYTES_A_LAYER * len(self.detector.substrate.layers)

    @property
    def guard(self) -> Guard:
        """The limits the client may apply now: tight while something is wrong, else loose."""
        base = self.detector.substrate
        if not self.ordinal:
            return Guard()
        usual, limit = base.scalars, float(base.longterm.limit[NORM])
        skip = skip_above(
            bool(usual.ready[NORM]), int(usual.median[NORM]), int(usual.scale[NORM]), limit
        )
        step = int(self.history.steps[-1])
        tight = trouble_since(self.cases) is not None
        most = self.norms.max_norm if tight else self.norms.loose
        return armed(most, skip, step, self.history.increment)

    @property
    def parts(self) -> Mapping[str, AlertPart]:
        """What this writer contributes to the alert of each cause."""
        return {cause: case.part for cause, case in self.cases.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a frame changed: the parts that are different now, and the transitions in order."""

    parts: tuple[AlertPart, ...] = ()
    events: tuple[AlertEvent, ...] = ()


def init(layers: LayerTable, facts: Facts) -> WriterState:
    """The state before the first report."""
    return WriterState(engine.init(layers, facts.rules), facts, History.empty(layers))


def update(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    """Fold one frame, whose columns are ``layers``, into the state."""
    episodes = state.detector.episodes
    detector, segments = engine.update(state.detector, frame, layers)
    return conclude(replace(state, detector=detector), frame.events, segments, episodes)


def conclude(
    state: WriterState,
    told: tuple[Mapping[str, JsonValue], ...],
    segments: Sequence[Seen],
    episodes: Mapping[str, Episode],
) -> tuple[WriterState, Outcome]:
    """Diagnose what was seen in a frame; ``told``: its events, ``episodes``: those before it."""
    before = state.cases
    state = _with_history(state, state.history.told(told))
    events: list[AlertEvent] = []
    for seen in segments:
        state, new = _segment(state, seen, episodes)
        events += new
        episodes = seen.episodes
    state = _with_history(state, state.history.forgot())
    parts = tuple(case.part for cause, case in state.cases.items() if before.get(cause) != case)
    return state, Outcome(parts, tuple(events))


def _with_history(state: WriterState, history: History) -> WriterState:
    return state if history is state.history else replace(state, history=history)


def _segment(
    state: WriterState, seen: Seen, episodes: Mapping[str, Episode]
) -> tuple[WriterState, list[AlertEvent]]:
    """Fold the rows of one view; between two findings only memory moves on."""
    view, done = seen.view, 0
    state = _with_history(state, state.history.grown(view.layers))
    events: list[AlertEvent] = []
    for row, found in _rows_of_interest(state, seen).items():
        if found is not None:
            state = _remember(state, view, done, row)
            done = row
            state, new = _transition(state, view, row, found, episodes)
            events += new
        cases, promoted = promote(state.cases, int(view.ordinal[row]), int(view.step[row]))
        if promoted:
            state = replace(state, cases=cases)
            events += promoted
    state = _remember(state, view, done, len(view))
    if any(case.live for case in state.cases.values()):
        moved = {
            cause: touch(case, seen.episodes) if case.live else case
            for cause, case in state.cases.items()
        }
        state = replace(state, cases=moved)
    return state, events


def _rows_of_interest(state: WriterState, seen: Seen) -> Mapping[int, list[Finding] | None]:
    """Every row of a segment in which an alert can change, else none.

    With its findings where the causes are to be judged anew; None where an alert may only fall due.
    """
    news = state.history.news(seen.view)
    waiting = any(case.due is not None for case in state.cases.values())
    if not (seen.findings or news or waiting):
        return {}
    first = int(seen.view.ordinal[0])
    found: dict[int, list[Finding]] = {row: [] for row in news}
    for finding in seen.findings:
        found.setdefault(finding.ordinal - first, []).append(finding)
    return {row: found.get(row) for row in range(len(seen.view))}


def _remember(state: WriterState, view: View, start: int, stop: int) -> WriterState:
    if start == stop:
        return state
    return replace(
        state,
        history=state.history.advance(view, start, stop),
        norms=state.norms.absorb(view, start, stop, _active(state.held)),
    )


def _active(held: Mapping[str, Held]) -> Collection[str]:
    return [rule for rule, one in held.items() if one.active]


def _transition(
    state: WriterState,
    view: View,
    row: int,
    found: list[Finding],
    episodes: Mapping[str, Episode],
) -> tuple[WriterState, tuple[AlertEvent, ...]]:
    """Findings or what else the judgement stands on changed at this report: judge anew."""
    ordinal, step = int(view.ordinal[row]), int(view.step[row])
    state = _take(state, view, row, found)
    situation = survey(
        view,
        row,
        state.history.advance(view, row, row + 1),
        state.held,
        facts=state.facts,
        max_norm=state.norms.max_norm,
    )
    live = {cause: case.mover for cause, case in state.cases.items() if case.live}
    changed = frozenset(x.rule for x in found if x.kind != "cleared")
    moment = Moment(ordinal, step, changed, episodes)
    cases, events = settle(state.cases, cover(situation, live), moment)
    history = replace(
        state.history, troubles=noted(state.history.troubles, trouble_since(cases), step)
    )
    return replace(state, cases=cases, history=history), events


def _take(state: WriterState, view: View, row: int, found: list[Finding]) -> WriterState:
    """Note the findings of a report; forget those that ended more than 64 reports ago."""
    ordinal = int(view.ordinal[row])
    held = {
        rule: one
        for rule, one in state.held.items()
        if one.ended_ordinal is None or ordinal - one.ended_ordinal <= RECENTLY
    }
    history = state.history
    for finding in found:
        held[finding.rule] = hold(held.get(finding.rule), finding)
        if finding.kind == "opened" and finding.rule in SPIKES:
            history = history.struck(ordinal)
        if finding.kind == "opened" and finding.rule == "init-gain-profile":
            history = replace(history, gains=initial_gains(view, row))
        if finding.kind == "opened" and finding.rule == "non-finite":
            history = replace(history, broken=Break.seen(view, row))
    return replace(state, held=held, history=history)
