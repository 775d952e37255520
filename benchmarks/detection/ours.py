"""Our side of the table: recordings replayed through the service's own fold and join of writers."""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.log import Log, attempts
from benchmarks.detection.recording import Recording, Stream
from gradwatch_service.detect.episodes import Episode
from gradwatch_service.detect.rules.stale_run import PATIENCE, SILENCE
from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import WriterState
from gradwatch_service.diagnose.merge import Alert, join
from gradwatch_service.diagnose.ranks import Ranks
from gradwatch_service.domain import (
    AlertEvent,
    AlertPart,
    Evidence,
    Facts,
    Frame,
    IntArray,
    JsonValue,
    Layer,
    LayerTable,
    Severity,
)
from gradwatch_service.settings import Settings
from gradwatch_service.store.silence import INTERVALS, RULE, patience

BATCH = 10
HANGS = "silent"  # the fault of a job that says nothing any more; all others say when they end
PATIENCE_MOST = 1800.0  # seconds within which a hang is to be noticed, as SageMaker Debugger does
_RUN = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class Line:
    """An alert of the run as it stood from this step on; ``causes``: the likeliest first."""

    step: int
    cause: str
    state: str
    rule: str
    severity: Severity
    actionable: bool
    confidence: float
    causes: tuple[str, ...]
    evidence: tuple[str, ...]

    @property
    def told(self) -> tuple[object, ...]:
        """What a change of makes a new line: all but words and confidence."""
        return (self.state, self.severity, self.actionable, self.causes)


@dataclass(frozen=True, slots=True)
class Replay:
    """The time line of a recording.

    ``held``: episodes of rules in the writers' streams; ``micros``: processor time per report of
    each push; ``told``: every transition of every writer and the alerts it ended with, in words.
    """

    lines: tuple[Line, ...]
    held: tuple[tuple[str, Episode], ...]
    micros: NDArray[np.float64]
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a writer said of a cause at a step; ``attempt`` counts the launches of the job."""

    step: int
    writer: str
    attempt: int
    part: AlertPart


@dataclass(frozen=True, slots=True)
class Folded:
    """What came of folding one writer's reports; episodes by rule and first report."""

    changes: list[Change] = field(default_factory=list)
    held: dict[tuple[str, int], Episode] = field(default_factory=dict)
    micros: list[float] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """What alerts come from: a writer's reports, or those of all ranks side by side.

    ``fold`` takes a state and rows from, to; ``judged``: the state of the fold within a state.
    """

    name: str
    attempt: int
    steps: IntArray
    begin: Any
    fold: Callable[[Any, int, int], tuple[Any, Sequence[AlertEvent]]]
    judged: Callable[[Any], WriterState]


def replay(recording: Recording, cuts: Sequence[int] | None = None) -> Replay:
    """Fold all reports, in pushes of ten or cut before the rows ``cuts``."""
    folded = [_folded(source, cuts) for source in sources(recording)]
    changes = [change for one in folded for change in one.changes]
    changes.sort(key=lambda change: (change.attempt, change.step))
    return Replay(
        lines=tuple(_joined(changes)),
        held=_together(folded),
        micros=np.array([spent for one in folded for spent in one.micros]),
        told=tuple(words for one in folded for words in one.told),
    )


def sources(recording: Recording) -> Iterator[Source]:
    """Every writer, and for each launch of several writers the ranks compared."""
    layers = [Layer(**{**x, "shape": tuple(x["shape"])}) for x in _plain(recording.layers)]
    table, facts = LayerTable(tuple(layers)), Facts.from_config(recording.config)
    launches: dict[int, list[Log]] = defaultdict(list)
    for stream, attempt in zip(recording.writers, attempts(recording.writers), strict=True):
        log = Log.of(stream, table)
        launches[attempt].append(log)
        begin = fold.init(table, facts)
        alone = partial(_fold, log)
        yield Source(stream.name, attempt, stream.steps, begin, alone, lambda state: state)
    for attempt, logs in launches.items():
        if len(logs) > 1:
            steps = max((log.stream.steps for log in logs), key=len)
            ranks, together = Ranks.of(facts), partial(_compare, logs)
            yield Source("", attempt, steps, ranks, together, lambda state: state.judged.state)
    if recording.label is not None and recording.label.fault == HANGS:
        yield _silence(max(recording.writers, key=lambda stream: int(stream.steps[-1])), facts)


def pace(stream: Stream) -> float:
    """Seconds per step of the training."""
    return float((stream.time[-1] - stream.time[0]) / (stream.steps[-1] - stream.steps[0]))


def _silence(stream: Stream, facts: Facts) -> Source:
    """What the worker sees of a job that hangs, when its patience is over and at 3 times that.

    Its steps are those the job would have made meanwhile.
    """
    pushes = stream.time[BATCH - 1 :: BATCH]
    intervals = np.diff(pushes)[-INTERVALS:].tolist()
    allowed = patience(len(pushes), intervals, max(intervals, default=0.0))
    tick = float(Settings.model_fields["worker_tick_seconds"].default)
    silent = allowed * np.array([1.0, RULE.critical_factor]) + tick
    last = int(stream.steps[-1])

    def fold_rows(
        state: WriterState, start: int, stop: int
    ) -> tuple[WriterState, Sequence[AlertEvent]]:
        count = stop - start
        frame = Frame(
            steps=np.full(count, last),
            time=stream.time[-1] + silent[start:stop],
            scalars={SILENCE: silent[start:stop], PATIENCE: np.full(count, allowed)},
        )
        after, outcome = fold.update(state, frame, LayerTable())
        return after, outcome.events

    steps = last + np.ceil(silent / pace(stream)).astype(np.int64)
    begin = fold.init(LayerTable(), facts)
    return Source("silence", 0, steps, begin, fold_rows, lambda state: state)


def _fold(
    log: Log, state: WriterState, start: int, stop: int
) -> tuple[WriterState, Sequence[AlertEvent]]:
    """A writer's reports of these rows."""
    after, outcome = fold.update(state, log.push(start, stop), log.table)
    return after, outcome.events


def _compare(
    logs: Sequence[Log], ranks: Ranks, start: int, stop: int
) -> tuple[Ranks, Sequence[AlertEvent]]:
    """Every rank's reports of the same rows, judged once all have come."""
    before = len(ranks.judged.events)
    for log in logs:
        if start < len(log):
            ranks = ranks.told(log.stream.name, log.push(start, min(stop, len(log))))
    ranks = ranks.caught_up()
    return ranks, ranks.judged.events[before:]


def _folded(source: Source, cuts: Sequence[int] | None) -> Folded:
    """Fold the reports of a source; a push that changes an alert is looked at one by one."""
    folded, state, n = Folded(), source.begin, len(source.steps)
    ends = range(BATCH, n, BATCH) if cuts is None else [cut for cut in cuts if cut < n]
    for start, stop in pairwise([0, *ends, n]):
        begun = time.process_time()
        after, events = source.fold(state, start, stop)
        folded.micros.append((time.process_time() - begun) * 1e6 / max(stop - start, 1))
        if events or _news(source.judged(state), source.judged(after)):
            folded.changes.extend(_one_by_one(source, state, range(start, stop)))
        for rule, one in source.judged(after).detector.episodes.items():
            folded.held[rule, one.opened_ordinal] = one
        folded.told.extend(map(repr, events))
        state = after
    folded.told.append(repr(sorted(source.judged(state).parts.items())))
    return folded


def _one_by_one(source: Source, state: Any, rows: range) -> Iterator[Change]:
    for row in rows:
        before = source.judged(state)
        state, _ = source.fold(state, row, row + 1)
        for part in _news(before, source.judged(state)):
            yield Change(int(source.steps[row]), source.name, source.attempt, part)


def _news(before: WriterState, after: WriterState) -> list[AlertPart]:
    """Parts that differ in more than the step they held last."""
    if before.cases is after.cases:
        return []
    old = before.parts
    return [
        part
        for cause, part in after.parts.items()
        if cause not in old or replace(old[cause], last_step=part.last_step) != part
    ]


def _together(folded: Sequence[Folded]) -> tuple[tuple[str, Episode], ...]:
    """Episodes that began in several ranks at the same step are one, as bad as the worst."""
    held: dict[tuple[str, int], Episode] = {}
    for rule, one in [(key[0], episode) for each in folded for key, episode in each.held.items()]:
        known = held.get((rule, one.opened_step), one)
        held[rule, one.opened_step] = max(known, one, key=lambda x: (x.severity, x.last_step))
    return tuple((rule, one) for (rule, _), one in held.items())


def _joined(changes: Sequence[Change]) -> Iterator[Line]:
    """The alerts of the run after each change; what an earlier launch said is over by then."""
    said: dict[str, dict[str, Change]] = {}
    shown: dict[str, tuple[object, ...]] = {}
    for change in changes:
        parts = said.setdefault(change.part.cause, {})
        parts[f"{change.writer}/{change.attempt}"] = change
        now = {name: _as_of(one, change.attempt) for name, one in parts.items()}
        line = _line(change.step, join(_RUN, now))
        if shown.get(line.cause) != line.told:
            shown[line.cause] = line.told
            yield line


def _as_of(change: Change, attempt: int) -> AlertPart:
    over = change.attempt < attempt and change.part.state != "resolved"
    return replace(change.part, state="resolved", resolved_step=0) if over else change.part


def _line(step: int, alert: Alert) -> Line:
    """``evidence`` in words: what was seen, then what speaks for and against each suspect."""
    suspects = [
        f"{one.cause} {one.confidence:.0%}: {_weighed(*one.evidence, *one.against)}"
        for one in alert.causes
    ]
    seen = [fact.text for fact in alert.evidence if fact.weight is None]
    return Line(
        step=step,
        cause=alert.cause,
        state=alert.state,
        rule=alert.rule,
        severity=alert.severity,
        actionable=alert.actionable,
        confidence=alert.confidence,
        causes=tuple(dict.fromkeys((alert.cause, *(one.cause for one in alert.causes)))),
        evidence=(*seen, *suspects),
    )


def _weighed(*facts: Evidence) -> str:
    return ", ".join(f"{fact.name} {fact.weight:+.0f}" for fact in facts if fact.weight)


def _plain(layers: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, Any]]:
    return [dict(layer) for layer in layers]
