"""What the trials add up to: a table by fault, totals against targets, what went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.detection.page import Row
from benchmarks.repair.plan import FOR_A_PERSON
from benchmarks.repair.trial import Outcome, Trial

REPAIRED, HARMED = 0.9, 0.01  # targets: at least, at most


def tables(trials: Sequence[Trial]) -> dict[str, list[Row]]:
    """All tables by their titles."""
    faulty = [trial for trial in trials if trial.mendable]
    healthy = [trial for trial in trials if trial.healthy]
    left_out = sum(not (trial.healthy or trial.mendable) for trial in trials)
    none = _total("faulty runs left out: no harm done, or no fix known", left_out, "")
    return {
        "Repair": [_fault(name, some) for name, some in _by_fault(faulty).items()],
        "Not repaired": [
            _story(trial, one) | {"fate": "survived" if one.survived else "lost"}
            for trial, one in _runs(faulty)
            if one.level and not one.repaired
        ],
        "Healthy runs": [_left_alone(level, healthy) for level in _levels(healthy)],
        "Healthy runs harmed or acted upon": [
            _story(trial, one) | {"% over alone": 100 * one.change}
            for trial, one in _runs(healthy)
            if one.harmed or one.deeds
        ],
        "Totals": [*_repaired(faulty), none, *_unharmed(healthy)],
    }


def _by_fault(trials: Iterable[Trial]) -> Mapping[str, list[Trial]]:
    found: dict[str, list[Trial]] = {}
    for trial in trials:
        found.setdefault(trial.fault, []).append(trial)
    return dict(sorted(found.items()))


def _runs(trials: Iterable[Trial]) -> Iterable[tuple[Trial, Outcome]]:
    return ((trial, one) for trial in trials for one in trial.outcomes)


def _levels(trials: Iterable[Trial]) -> list[int]:
    return sorted({one.level for _, one in _runs(trials)})


def _at(trials: Iterable[Trial], level: int) -> list[Outcome]:
    return [one for _, one in _runs(trials) if one.level == level]


def _fault(name: str, trials: Sequence[Trial]) -> Row:
    row: Row = {"fault": name, "runs": len(trials)}
    for level in _levels(trials):
        repaired = sum(one.repaired for one in _at(trials, level))
        row[f"repaired, level {level}" if level else "alone"] = f"{repaired}/{len(trials)}"
    best = _at(trials, _levels(trials)[-1])
    lost = [one.lost for one in best if one.repaired]
    deeds = Counter(deed.split("@")[0] for one in best for deed in one.deeds)
    row["steps lost"] = float(np.median(lost)) if lost else None
    row["rolled back"] = int(np.median([one.rewound for one in best]))
    row["actions"] = ", ".join(f"{n} {deed}" for deed, n in deeds.most_common(3)) or "guard"
    row["for a person"] = "yes" if name in FOR_A_PERSON else ""
    return row


def _story(trial: Trial, one: Outcome) -> Row:
    deeds = ", ".join(one.deeds) or "guard"
    return {"run": f"{trial.name} {trial.seed}", "level": one.level, "actions": deeds}


def _left_alone(level: int, trials: Sequence[Trial]) -> Row:
    some = _at(trials, level)
    low, median, high = np.percentile([100 * one.change for one in some], (5, 50, 95))
    return {
        "level": level,
        "runs": len(some),
        "final loss, % over alone: 5th": float(low),
        "median": float(median),
        "95th": float(high),
        "harmed": sum(one.harmed for one in some),
        "acted upon, reversibly": sum(bool(one.deeds) and not one.destroyed for one in some),
        "destructive actions": sum(one.destroyed for one in some),
        "updates refused": sum(one.refused for one in some),
    }


def _repaired(trials: Sequence[Trial]) -> Iterable[Row]:
    ours = [trial for trial in trials if trial.fault not in FOR_A_PERSON]
    for level in _levels(trials):
        target = f"≥ {REPAIRED}" if level else ""
        some, every = _at(ours, level), _at(trials, level)
        yield _total(f"repaired, level {level}", _share([one.repaired for one in some]), target)
        told = f"repaired, level {level}, with those for a person"
        yield _total(told, _share([one.repaired for one in every]), "")
        yield _total(f"survived, level {level}", _share([one.survived for one in every]), "")


def _unharmed(trials: Sequence[Trial]) -> Iterable[Row]:
    for level in _levels(trials):
        harmed = _share([one.harmed for one in _at(trials, level)])
        yield _total(f"healthy runs harmed, level {level}", harmed, f"≤ {HARMED}")
    destroyed = sum(one.destroyed for _, one in _runs(trials))
    yield _total("destructive actions on healthy runs", destroyed, "0")


def _share(which: Sequence[bool]) -> float:
    return sum(which) / len(which) if which else 0.0


def _total(measure: str, value: float, target: str) -> Row:
    return {"measure": measure, "value": value, "target": target}
