"""Every baseline over a range of its threshold, and the value that errs as rarely as we do."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from benchmarks.detection.baselines import catalogue
from benchmarks.detection.baselines.baseline import Baseline, Signals
from benchmarks.detection.judge import Case, Theirs
from benchmarks.detection.measures import MERGE_WITHIN, Judged, episodes, false_alarms
from benchmarks.detection.recording import Recording

# What a published threshold is multiplied by: 1/8 … 1024 in half octaves, the laxest first.
FACTORS = tuple(2.0 ** (k / 2) for k in range(-6, 21))
PUBLISHED = FACTORS.index(1.0)


def theirs(run: Recording, case: Case) -> dict[str, Theirs]:
    """Run every baseline on every process of the job; it calls if it calls on any."""
    signals = [Signals(stream, run.layers) for stream in run.writers]
    return {baseline.name: _swept(baseline, signals, case) for baseline in catalogue()}


def _swept(baseline: Baseline, signals: Sequence[Signals], case: Case) -> Theirs:
    begun = time.process_time()
    published = _judged(baseline, signals, case, 1.0)
    spent = (time.process_time() - begun) * 1e6 / sum(len(one.stream) for one in signals)
    if baseline.published is None:
        return Theirs((published,) * len(FACTORS), spent)
    return Theirs(tuple(_judged(baseline, signals, case, factor) for factor in FACTORS), spent)


def _judged(baseline: Baseline, signals: Sequence[Signals], case: Case, factor: float) -> Judged:
    """Keep of the alarms what counts: the false episodes, and the first one after the onset."""
    threshold = factor * (baseline.published or 1.0)
    steps = sorted(
        {int(step) for one in signals for step in one.stream.steps[baseline.alarms(one, threshold)]}
    )
    early = [step for step in steps if step < case.onset]
    found = [step for step in steps if step >= case.onset][:1]
    return case.judged([*episodes(early, MERGE_WITHIN * case.interval), *found])


def retuned(tuning: Sequence[Theirs], limit: float) -> int | None:
    """The place of the laxest threshold, all stricter ones included, within ``limit`` per 10,000.

    None: there is none.
    """
    best = None
    for place in reversed(range(len(FACTORS))):
        rate = false_alarms(one.judged[place] for one in tuning).per_10k
        if math.isnan(rate) or rate > limit:
            break
        best = place
    return best
