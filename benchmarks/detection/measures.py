"""The figures of the table: what alarms on labelled recordings amount to."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from benchmarks.detection.recording import Label

MERGE_WITHIN = 64
CAUSE_WITHIN = 64
LEAD = 50
PER = 10_000


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an alert blamed, the likeliest first, and how bad it was."""

    step: int
    severity: int
    causes: tuple[str, ...]
    confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One method on one recording.

    ``alarms``: the steps at which it called for a person, in order; ``healthy_steps``: reports
    before any fault times the interval; ``interval``: steps from one report to the next.
    """

    family: str
    label: Label | None
    healthy_steps: int
    interval: int
    end: int
    alarms: tuple[int, ...]
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def onset(self) -> int:
        """The first step with a fault; after the end on a healthy run."""
        return self.end + 1 if self.label is None else self.label.t0

    @property
    def false_alarms(self) -> int:
        """Episodes before any fault: alarms at most 64 reports apart are one."""
        early = [step for step in self.alarms if step < self.onset]
        return len(episodes(early, MERGE_WITHIN * self.interval))

    @property
    def detected(self) -> int | None:
        """The step of the first alarm from the fault on, if it came before it was too late."""
        if self.label is None:
            return None
        late = self.end if self.label.t_irr is None else self.label.t_irr
        found = next((step for step in self.alarms if step >= self.onset), None)
        return found if found is not None and found <= late else None

    @property
    def lead(self) -> int | None:
        """Steps from the alarm to the first irreparable or non-finite one; None: there is none.

        A run that was not detected in time has none to spare: 0.
        """
        if self.label is None:
            return None
        ends = [step for step in (self.label.t_nf, self.label.t_irr) if step is not None]
        if not ends:
            return None
        return 0 if self.detected is None else min(ends) - self.detected

    @property
    def verdict(self) -> Diagnosis | None:
        """The worst of 64 reports from the first in time on; of equals the earliest, the surest."""
        if self.detected is None:
            return None
        until = self.detected + CAUSE_WITHIN * self.interval
        made = [one for one in self.diagnoses if self.detected <= one.step <= until]
        return min(made, key=_rank, default=None)


def _rank(one: Diagnosis) -> tuple[float, ...]:
    return (-one.severity, one.step, -one.confidence)


@dataclass(frozen=True, slots=True)
class Rate:
    """Events per 10,000 steps, and the one-sided 95 % upper bound of that rate."""

    events: int
    steps: int

    @property
    def per_10k(self) -> float:
        """The rate that was seen."""
        return PER * self.events / self.steps if self.steps else math.nan

    @property
    def upper(self) -> float:
        """The rate at which seeing this few or fewer has a chance of 5 %."""
        return PER * poisson_upper(self.events) / self.steps if self.steps else math.nan


def episodes(steps: Sequence[int], apart: int) -> list[int]:
    """The first of each group of steps no more than ``apart`` from one to the next."""
    return [
        step for i, step in enumerate(steps) if i == 0 or step - steps[i - 1] > apart
    ]  # fmt: skip


def poisson_upper(events: int, risk: float = 0.05) -> float:
    """The mean m with P(Poisson(m) ≤ events) = risk: half the 1 - risk quantile of χ²(2·events+2).

    By bisection of the exact tail, to ten digits.
    """
    low, high = 0.0, events + 10 + 10 * math.sqrt(events + 1)
    for _ in range(80):
        mean = (low + high) / 2
        if poisson_tail(events, mean) > risk:
            low = mean
        else:
            high = mean
    return (low + high) / 2


def poisson_tail(events: int, mean: float) -> float:
    """P(Poisson(mean) ≤ events), summed from the largest term down."""
    if mean == 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(events + 1)]
    return math.fsum(map(math.exp, logs))


def false_alarms(runs: Iterable[Judged]) -> Rate:
    """False alarms on everything healthy: whole healthy runs, faulty ones until their fault."""
    judged = list(runs)
    return Rate(sum(x.false_alarms for x in judged), sum(x.healthy_steps for x in judged))


def by_fault(runs: Iterable[Judged]) -> Mapping[str, list[Judged]]:
    """The faulty runs of each fault."""
    found: dict[str, list[Judged]] = defaultdict(list)
    for run in runs:
        if run.label is not None:
            found[run.label.fault].append(run)
    return dict(sorted(found.items()))


def macro(runs: Iterable[Judged], share: Callable[[Sequence[Judged]], float]) -> float:
    """The mean over faults of a share of their runs; faults without one (NaN) do not count."""
    shares = [share(same) for same in by_fault(runs).values()]
    known = [one for one in shares if not math.isnan(one)]
    return fmean(known) if known else math.nan


def recall(runs: Sequence[Judged]) -> float:
    """The share of runs in which the fault was detected in time."""
    return _share([run.detected is not None for run in runs if run.label is not None])


def lead_share(runs: Iterable[Judged]) -> float:
    """Of gradual faults with an end to come, the share with 50 steps or more of warning."""
    leads = [run.lead for run in runs if run.label is not None and run.label.gradual]
    return _share([lead >= LEAD for lead in leads if lead is not None])


def delays(runs: Iterable[Judged]) -> list[int]:
    """Steps from fault to alarm in the runs in which it was detected in time."""
    return [run.detected - run.onset for run in runs if run.detected is not None]


def quantile(values: Iterable[float], share: float) -> float:
    """NaN where there are no values."""
    known = list(values)
    return float(np.quantile(known, share)) if known else math.nan


def top(runs: Iterable[Judged], count: int) -> float:
    """Of the runs detected in time, the share whose cause is among the first ``count`` named."""
    return _share(
        [
            not set(run.label.causes).isdisjoint(verdict.causes[:count])
            for run in runs
            if run.label is not None and (verdict := run.verdict) is not None
        ]
    )


def _share(truths: Sequence[bool]) -> float:
    return fmean(truths) if truths else math.nan
