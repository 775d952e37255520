"""The tables of the benchmark, each a list of rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from benchmarks.detection import measures
from benchmarks.detection.baselines import catalogue
from benchmarks.detection.baselines.baseline import Baseline
from benchmarks.detection.judge import Entry, onsets, pages, warns
from benchmarks.detection.measures import Judged, Rate, by_fault, macro, quantile
from benchmarks.detection.ours import Line
from benchmarks.detection.page import Row
from benchmarks.detection.tune import FACTORS, PUBLISHED, retuned
from gradwatch_service.domain import Severity

LEAST_LIMIT = 0.5


def tables(entries: Sequence[Entry], split: str = "test") -> dict[str, list[Row]]:
    """Every table; figures are those of one split, thresholds come from the tuning split."""
    tuning = [entry for entry in entries if entry.case.split == "tuning"]
    test = [entry for entry in entries if entry.case.split == split]
    return {
        "Methods": methods(tuning, test),
        "Gradwatch in short": summary(test),
        "Gradwatch by fault": faults(test),
        "False alarms by family": families(test),
        "False alarms by rule": rules(test),
    }


def methods(tuning: Sequence[Entry], test: Sequence[Entry]) -> list[Row]:
    """Ours first; each baseline as published, and at no more false alarms than ours."""
    rate, found = paged(test), [entry.found for entry in test]
    own = _figures(rate, found)
    limit = paged(tuning).per_10k or LEAST_LIMIT
    ours: Row = {
        "method": "**Gradwatch**",
        **own,
        "re-tuned": "",
        **_equal(own),
        "cause top-1": macro(found, lambda runs: measures.top(runs, 1)),
        "top-2": macro(found, lambda runs: measures.top(runs, 2)),
        "µs a step": _mean([x for entry in test for x in entry.replay.micros]),
    }
    run = [one for one in catalogue() if all(one.name in entry.theirs for entry in test)]
    theirs = [_baseline(baseline, tuning, test, limit) for baseline in run]
    return [ours, *sorted(theirs, key=lambda row: -float(row["recall, equal"] or 0))]


def _baseline(
    baseline: Baseline, tuning: Sequence[Entry], test: Sequence[Entry], limit: float
) -> Row:
    place = retuned([entry.theirs[baseline.name] for entry in tuning], limit)
    theirs = [entry.theirs[baseline.name] for entry in test]
    published = [one.judged[PUBLISHED] for one in theirs]
    equal = published if place is None else [one.judged[place] for one in theirs]
    figures = _equal(_figures(measures.false_alarms(equal), equal))
    value = FACTORS[place or 0] * (baseline.published or 0)
    return {
        "method": baseline.name,
        **_figures(measures.false_alarms(published), published),
        "re-tuned": None if place is None else baseline.knob.format(f"{value:.3g}"),
        **(figures if place is not None else dict.fromkeys(figures)),
        "cause top-1": None,
        "top-2": None,
        "µs a step": _mean([one.micros for one in theirs]),
    }


def paged(entries: Iterable[Entry]) -> Rate:
    """Our false alarms that call a person."""
    return measures.false_alarms(entry.pages for entry in entries)


def _figures(rate: Rate, judged: Sequence[Judged]) -> Row:
    return {
        "FA/10k": rate.per_10k,
        "95 % bound": rate.upper,
        "recall": macro(judged, measures.recall),
        "lead ≥ 50": measures.lead_share(judged),
    }


def _equal(figures: Row) -> Row:
    return {f"{name}, equal": value for name, value in figures.items() if name != "95 % bound"}


def summary(test: Sequence[Entry]) -> list[Row]:
    """What the targets ask for besides."""
    figures = _size(test) | _calls(test) | _cost(test)
    return [{"figure": name, "value": value} for name, value in figures.items()]


def _size(test: Sequence[Entry]) -> Row:
    healthy = [entry.case for entry in test if entry.case.label is None]
    return {
        "healthy runs": len(healthy),
        "healthy families": len({case.family for case in healthy}),
        "healthy steps (reports x logging interval)": paged(test).steps,
        "faulty runs": len(test) - len(healthy),
        "faults": len(by_fault(entry.found for entry in test)),
    }


def _calls(test: Sequence[Entry]) -> Row:
    called, warned = paged(test), measures.false_alarms(entry.warnings for entry in test)
    local = [x.pages for x in test if x.case.label is not None and not x.case.label.systemic]
    delays = measures.delays(entry.found for entry in test)
    return {
        "pages on healthy steps": called.events,
        "pages per 10,000": called.per_10k,
        "pages per 10,000, 95 % bound": called.upper,
        "warnings and above per 10,000": warned.per_10k,
        "warnings and above per 10,000, 95 % bound": warned.upper,
        "local faults that paged": f"{len(measures.delays(local))} of {len(local)}",
        "delay in steps, median": quantile(delays, 0.5),
        "delay in steps, P90": quantile(delays, 0.9),
    }


def _cost(test: Sequence[Entry]) -> Row:
    micros = [x for entry in test for x in entry.replay.micros]
    singly = [x for entry in test for x in entry.singly]
    tried = [entry.identical for entry in test if entry.identical is not None]
    return {
        "µs a step in tens, median": quantile(micros, 0.5),
        "µs a step in tens, P99": quantile(micros, 0.99),
        "µs a step one by one, median": quantile(singly, 0.5),
        "µs a step one by one, P99": quantile(singly, 0.99),
        "runs told the same under other batching": f"{sum(tried)} of {len(tried)}",
    }


def faults(test: Sequence[Entry]) -> list[Row]:
    """Ours by fault."""
    return [
        {
            "fault": fault,
            "runs": len(runs),
            "recall": measures.recall(runs),
            "delay": quantile(measures.delays(runs), 0.5),
            "delay P90": quantile(measures.delays(runs), 0.9),
            "lead": quantile([x.lead for x in runs if x.lead is not None], 0.5),
            "top-1": measures.top(runs, 1),
            "top-2": measures.top(runs, 2),
        }
        for fault, runs in by_fault(entry.found for entry in test).items()
    ]


def families(test: Sequence[Entry]) -> list[Row]:
    """Our false alarms by healthy family."""
    by_family: dict[str, list[Entry]] = defaultdict(list)
    for entry in test:
        if entry.case.label is None:
            by_family[entry.case.family].append(entry)
    return [
        {
            "family": family,
            "runs": len(same),
            "healthy steps": sum(entry.case.healthy_steps for entry in same),
            "pages": paged(same).events,
            "warnings and above": measures.false_alarms(x.warnings for x in same).events,
        }
        for family, same in sorted(by_family.items())
    ]


def rules(test: Sequence[Entry]) -> list[Row]:
    """Which rules led false alarms, and how often each held as a warning before any fault."""
    led = {"pages": _led(test, pages), "warnings": _led(test, warns), "held": _held(test)}
    return [
        {"rule": rule, **{name: counted[rule] for name, counted in led.items()}}
        for rule in sorted(set().union(*led.values()))
    ]


def _led(test: Sequence[Entry], counts: Callable[[Line], bool]) -> Counter[str]:
    lines = [(entry.case.onset, x) for entry in test for x in onsets(entry.replay.lines, counts)]
    return Counter(line.rule for onset, line in lines if line.step < onset)


def _held(test: Sequence[Entry]) -> Counter[str]:
    episodes = [(entry.case.onset, *held) for entry in test for held in entry.replay.held]
    return Counter(
        rule
        for onset, rule, one in episodes
        if one.opened_step < onset and one.severity >= Severity.WARNING
    )


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else math.nan
