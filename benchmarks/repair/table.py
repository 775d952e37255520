"""What the trials add up to: a table by fault, totals against targets, what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.detection.page import Row
from benchmarks.repair.trial import Outcome, Trial

REPAIRED, HARMED = 0.9, 0.01  # targets: at least, at most


def tables(trials: Sequence[Trial]) -> dict[str, list[Row]]:
    """All tables by their titles."""
    faulty = [trial for trial in trials if trial.mendable]
    healthy = [trial for trial in trials if trial.healthy]
    return {
        "Repair": [_fault(name, some) for name, some in _by_fault(faulty).items()],
        "Not repaired": list(_failures(faulty)),
        "Healthy runs": [_left_alone(level, healthy) for level in _levels(healthy)],
        "Harmed or changed": list(_touched(healthy)),
        "Totals": list(_totals(trials, faulty, healthy)),
    }


def _by_fault(trials: Iterable[Trial]) -> Mapping[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.fault, []).append(trial)
    return dict(sorted(found.items()))


def _levels(trials: Iterable[Trial]) -> list[int]:
    return sorted({outcome.level for trial in trials for outcome in trial.outcomes})


def _at(trials: Iterable[Trial], level: int) -> list[Outcome]:
    return [one for trial in trials for one in trial.outcomes if one.level == level]


def _fault(name: str, trials: Sequence[Trial]) -> Row:
    row: Row = {"fault": name, "runs": len(trials)}
    for level in _levels(trials):
        repaired = sum(one.repaired for one in _at(trials, level))
        row[f"repaired at level {level}" if level else "alone"] = f"{repaired}/{len(trials)}"
    best = _at(trials, _levels(trials)[-1])
    lost = [one.lost for one in best if one.repaired and one.lost is not None]
    row["steps lost"] = float(np.median(lost)) if lost else None
    row["rolled back"] = int(np.median([one.rewound for one in best]))
    deeds = Counter(deed.split("@")[0] for one in best for deed in dict.fromkeys(one.deeds))
    row["actions"] = ", ".join(f"{deed} {n}" for deed, n in deeds.most_common(3)) or "guard"
    return row


def _failures(trials: Iterable[Trial]) -> Iterable[Row]:
    for trial in trials:
        for one in trial.outcomes:
            if one.level and not one.repaired:
                fate = "survived" if one.survived else "lost"
                yield _story(trial, one) | {"fate": fate}


def _story(trial: Trial, one: Outcome) -> Row:
    deeds = ", ".join(one.deeds) or "guard"
    return {"run": f"{trial.name} {trial.seed}", "level": one.level, "actions": deeds}


def _left_alone(level: int, trials: Sequence[Trial]) -> Row:
    some = _at(trials, level)
    changes = [100 * one.change for one in some]
    low, median, high = np.percentile(changes, (5, 50, 95))
    return {
        "level": level,
        "runs": len(some),
        "final loss, % over alone: 5th": float(low),
        "median": float(median),
        "95th": float(high),
        "harmed": sum(one.harmed for one in some),
        "destructive actions": sum(len(one.deeds) for one in some),
        "updates refused": sum(one.refused for one in some),
    }


def _touched(trials: Iterable[Trial]) -> Iterable[Row]:
    for trial in trials:
        for one in trial.outcomes:
            if one.harmed or one.deeds:
                yield _story(trial, one) | {"% over alone": 100 * one.change}


def _totals(
    trials: Sequence[Trial], faulty: Sequence[Trial], healthy: Sequence[Trial]
) -> Iterable[Row]:
    for level in _levels(faulty):
        some = _at(faulty, level)
        what = f"level {level}" if level else "alone"
        share = sum(one.repaired for one in some) / len(some)
        yield _total(f"repaired, {what}", share, f"≥ {REPAIRED}" if level else "")
        yield _total(f"survived, {what}", sum(one.survived for one in some) / len(some), "")
    left_out = sum(not (trial.healthy or trial.mendable) for trial in trials)
    yield _total("faults that did no harm, or that no fix mends", left_out, "")
    for level in _levels(healthy):
        some = _at(healthy, level)
        yield _total(
            f"healthy runs harmed, level {level}",
            sum(one.harmed for one in some) / len(some),
            f"≤ {HARMED}",
        )
    deeds = sum(len(one.deeds) for trial in healthy for one in trial.outcomes)
    yield _total("destructive actions on healthy runs", deeds, "0")


def _total(measure: str, value: float, target: str) -> Row:
    return {"measure": measure, "value": value, "target": target}
