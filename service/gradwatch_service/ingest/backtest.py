"""What other settings of the rules would have alerted on stored runs, beside the present ones."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine

from gradwatch_service.detect.tape import Pace
from gradwatch_service.detect.tuning import as_changes
from gradwatch_service.diagnose.merge import Alert, join
from gradwatch_service.domain import MAX_STEP, AlertPart, JsonValue, RuleChanges, Severity
from gradwatch_service.errors import Conflict
from gradwatch_service.ingest.lru import Lru
from gradwatch_service.ingest.reel import Reel, reels
from gradwatch_service.store import past_runs, rules
from gradwatch_service.store.codec import Json
from gradwatch_service.store.parts import Contribution
from gradwatch_service.store.past_runs import PastRun

BYTES_REMEMBERED = 256 * 2**20
TEN_THOUSAND = 10_000
TOO_LATE = "there was no time left for it"
TOO_MANY = "it holds more reports than were left to be judged"
NOT_KEPT = "its reports are no longer kept as they came"


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings to be tried: on which runs, on the steps ``first`` … ``last``, within limits.

    ``runs``: the newest so many of the project, or these.
    """

    project: str
    changes: RuleChanges
    runs: int | tuple[uuid.UUID, ...]
    first: int = 0
    last: int = MAX_STEP
    seconds: float = 15.0
    reports: int = 2_000_000


class Shown(NamedTuple):
    """An alert of a run, and how often it fired."""

    alert: Alert
    fired: int

    def as_json(self) -> Json:
        """The alert as a back-test shows it."""
        alert = self.alert
        return {
            "cause": alert.cause,
            "rule": alert.rule,
            "severity": alert.severity.label,
            "actionable": alert.actionable,
            "opened_step": alert.opened_step,
            "resolved_step": alert.resolved_step,
            "fired": self.fired,
            "title": alert.title,
        }

    @property
    def kind(self) -> str:
        """What it means to people: a page, a warning, or information."""
        if self.alert.actionable:
            return "pages"
        return "warnings" if self.alert.severity >= Severity.WARNING else "information"


class _Overdue(Exception):  # noqa: N818 - not an error
    """The time is over."""


class Bench:
    """Judges stored runs again; remembers what settings have in common. For one thread."""

    def __init__(
        self,
        engine: Engine,
        memory: int = BYTES_REMEMBERED,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._runs: Lru[object, list[Reel]] = Lru(memory)

    def run(self, trial: Trial) -> Json:
        """Try the settings beside those that hold in the project now.

        Raises:
            NotFound: a run that is not in the project.
        """
        ends = self._clock() + trial.seconds
        with self._engine.connect() as connection:
            present = as_changes(rules.of_project(connection, trial.project).body)
            chosen = _chosen(connection, trial)
        done: list[_Run] = []
        left_out: list[JsonValue] = []
        reports = trial.reports
        for run in chosen:
            try:
                found = self._judged(run, trial, present, reports, self._pace(ends))
            except (_Overdue, _TooMany, Conflict) as reason:
                left_out.append({"run_id": str(run.run_id), "name": run.name, "why": _why(reason)})
                continue
            done.append(found)
            reports -= found.reports
        return _answer(trial, done, left_out)

    def _pace(self, ends: float) -> Pace:
        def pace() -> None:
            if self._clock() > ends:
                raise _Overdue

        return pace

    def _judged(
        self, run: PastRun, trial: Trial, present: RuleChanges, most: int, pace: Pace
    ) -> _Run:
        pace()
        with self._engine.connect() as connection:
            streams = past_runs.streams(connection, run.run_id)
            reports = sum(stream.reports for stream in streams)
            if reports > most:
                raise _TooMany
            held = (run, *streams)
            found = self._runs.get(held)
            if found is None:
                found = reels(connection, run, streams, pace)
                self._runs.put(held, found, sum(reel.size for reel in found))
        before = _alerts(run, found, present, trial, pace)
        after = _alerts(run, found, trial.changes, trial, pace)
        return _Run(run, reports, _steps(found, trial), before, after)


class _TooMany(Exception):  # noqa: N818 - not an error
    """A run holds too many reports."""


def _why(reason: Exception) -> str:
    if isinstance(reason, _Overdue):
        return TOO_LATE
    return TOO_MANY if isinstance(reason, _TooMany) else NOT_KEPT


class _Run(NamedTuple):
    """A run judged by both settings."""

    run: PastRun
    reports: int
    steps: int
    before: Sequence[Shown]
    after: Sequence[Shown]

    @property
    def is_changed(self) -> bool:
        """Whether the settings make a difference."""
        return [x.as_json() for x in self.before] != [x.as_json() for x in self.after]

    def as_json(self) -> Json:
        """The run as a back-test shows it."""
        return {
            "run_id": str(self.run.run_id),
            "name": self.run.name,
            "steps": self.steps,
            "changed": self.is_changed,
            "present": [one.as_json() for one in self.before],
            "proposed": [one.as_json() for one in self.after],
        }


def _chosen(connection: Connection, trial: Trial) -> list[PastRun]:
    if isinstance(trial.runs, int):
        return past_runs.newest(connection, trial.project, trial.runs)
    return past_runs.named(connection, trial.project, trial.runs)


def _alerts(
    run: PastRun,
    found: Sequence[Reel],
    changes: RuleChanges,
    trial: Trial,
    pace: Pace,
) -> list[Shown]:
    """The alerts that fired within the steps of the trial, in the order in which they opened."""
    parts: dict[str, dict[str, AlertPart]] = {}
    fired: Counter[str] = Counter()
    for reel in found:
        told = reel.judged(changes, pace)
        for cause, part in told.parts.items():
            shown = Contribution(reel.attempt, part).as_of(run.attempt)
            parts.setdefault(cause, {})[reel.writer] = shown
        fired.update(event.cause for event in told.events if event.kind == "firing")
    alerts = (join(run.run_id, shares) for cause, shares in parts.items() if fired[cause])
    within = [x for x in alerts if x.opened_step <= trial.last and x.last_step >= trial.first]
    within.sort(key=lambda alert: (alert.opened_step, alert.cause))
    return [Shown(alert, fired[alert.cause]) for alert in within]


def _steps(found: Sequence[Reel], trial: Trial) -> int:
    """How many steps of all launches lie within the trial: of each, its longest writer's."""
    counts: dict[int, int] = {}
    for reel in found:
        steps = reel.steps
        held = int(np.count_nonzero((steps >= trial.first) & (steps <= trial.last)))
        counts[reel.attempt] = max(counts.get(reel.attempt, 0), held)
    return sum(counts.values())


def _answer(trial: Trial, done: Sequence[_Run], left_out: list[JsonValue]) -> Json:
    steps = sum(one.steps for one in done)
    return {
        "project": trial.project,
        "totals": {
            "runs": len(done),
            "changed": sum(one.is_changed for one in done),
            "steps": steps,
            "reports": sum(one.reports for one in done),
            "present": _totals(steps, [one.before for one in done]),
            "proposed": _totals(steps, [one.after for one in done]),
        },
        "runs": [one.as_json() for one in done],
        "left_out": left_out,
    }


def _totals(steps: int, alerts: Iterable[Sequence[Shown]]) -> Json:
    of_runs = [Counter(one.kind for one in shown) for shown in alerts]
    every = sum(of_runs, Counter[str]())
    rate = TEN_THOUSAND / steps if steps else 0.0
    return {
        "pages": every["pages"],
        "warnings": every["warnings"],
        "information": every["information"],
        "runs_alerted": sum(bool(one["pages"] or one["warnings"]) for one in of_runs),
        "pages_per_10k_steps": round(every["pages"] * rate, 3),
        "warnings_per_10k_steps": round(every["warnings"] * rate, 3),
    }
