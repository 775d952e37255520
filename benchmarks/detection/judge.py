"""What is known of a recording, and what was made of it in the terms the measures take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.detection import ours, recording
from benchmarks.detection.log import attempts
from benchmarks.detection.measures import Diagnosis, Judged
from benchmarks.detection.ours import Line, Replay
from benchmarks.detection.recording import Label, Recording, Stream
from gradwatch_service.domain import Severity


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a recording without its arrays."""

    name: str
    family: str
    variant: str
    split: str
    label: Label | None
    interval: int
    healthy_steps: int
    end: int

    @property
    def onset(self) -> int:
        """The first step with a fault; after the end on a healthy run."""
        return self.end + 1 if self.label is None else self.label.t0

    def judged(self, alarms: Sequence[int], diagnoses: Sequence[Diagnosis] = ()) -> Judged:
        """A method that called at these steps."""
        return Judged(
            family=self.family,
            label=self.label,
            healthy_steps=self.healthy_steps,
            interval=self.interval,
            end=self.end,
            alarms=tuple(sorted(alarms)),
            diagnoses=tuple(diagnoses),
        )


@dataclass(frozen=True, slots=True)
class Theirs:
    """A baseline on one recording: ``judged`` with each threshold, ``micros`` per report."""

    judged: tuple[Judged, ...]
    micros: float


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording as we judged it, and as every baseline does.

    Of a sample of recordings: ``singly``, µs of each report pushed alone, and ``identical``,
    whether that and random batches told the same.
    """

    case: Case
    replay: Replay
    theirs: Mapping[str, Theirs] = field(default_factory=dict)
    singly: tuple[float, ...] = ()
    identical: bool | None = None

    @property
    def pages(self) -> Judged:
        """By what calls a person."""
        return self._by(pages)

    @property
    def warnings(self) -> Judged:
        """By warnings and worse."""
        return self._by(warns)

    @property
    def found(self) -> Judged:
        """As the fault deserves: a systemic one by a page, others by a warning or data-outlier."""
        label = self.case.label
        return self._by(pages if label is None or label.systemic else _notes)

    def _by(self, counts: Callable[[Line], bool]) -> Judged:
        made = [line for line in self.replay.lines if counts(line)]
        return self.case.judged(
            [line.step for line in onsets(self.replay.lines, counts)],
            [Diagnosis(x.step, x.severity, x.causes, x.confidence) for x in made],
        )


def judge(path: Path) -> Entry:
    """Our side of a recording."""
    run = recording.load(path)
    return Entry(about(run), ours.replay(run))


def about(run: Recording) -> Case:
    """Steps count as the job counts them: a report every tenth step stands for ten."""
    interval = max(_interval(stream) for stream in run.writers)
    until = run.label.t0 if run.label is not None else np.iinfo(np.int64).max
    reports: dict[int, int] = {}
    for stream, attempt in zip(run.writers, attempts(run.writers), strict=True):
        healthy = int((stream.steps < until).sum())
        reports[attempt] = max(reports.get(attempt, 0), healthy)
    end = max(int(stream.steps[-1]) for stream in run.writers)
    if run.label is not None and run.label.fault == ours.HANGS:
        end += round(ours.PATIENCE_MOST / ours.pace(run.writers[0]))
    return Case(
        name=run.name,
        family=run.family,
        variant=run.variant,
        split=run.split,
        label=run.label,
        interval=interval,
        healthy_steps=sum(reports.values()) * interval,
        end=end,
    )


def onsets(lines: Sequence[Line], counts: Callable[[Line], bool]) -> list[Line]:
    """The lines with which an alert began to count."""
    live: dict[str, bool] = {}
    found = []
    for line in lines:
        if counts(line) and not live.get(line.cause, False):
            found.append(line)
        live[line.cause] = counts(line)
    return found


def _interval(stream: Stream) -> int:
    distances = np.diff(stream.steps)
    return max(int(np.median(distances)), 1) if len(distances) else 1


def pages(line: Line) -> bool:
    """Whether it calls a person."""
    return line.state == "firing" and line.actionable


def warns(line: Line) -> bool:
    """Whether it is a warning or worse."""
    return line.state == "firing" and line.severity >= Severity.WARNING


def _notes(line: Line) -> bool:
    return line.state == "firing" and (warns(line) or line.cause == "data-outlier")
