"""What one asks while tuning: one run's time line, every false alarm, everything missed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.judge import Case, Entry, judge, onsets
from benchmarks.detection.ours import Line
from benchmarks.detection.recording import FOLDER, SPLITS, Stream, load
from gradwatch_service.domain import Severity

SCALARS = ("loss", "grad_norm", "lr", "clip_norm", "loss_scale", "found_inf")


def paths(splits: Iterable[str], part: str) -> list[Path]:
    """Every recording of the splits whose name contains this."""
    found = [path for split in splits for path in sorted((FOLDER / split).glob("*.npz"))]
    return [path for path in found if part in path.name]


def show(patterns: Iterable[str], steps: str | None = None) -> None:
    """Print the label and the whole time line of each recording, and the numbers of some steps."""
    for pattern in patterns:
        for path in [Path(pattern)] if Path(pattern).is_file() else paths(SPLITS, pattern):
            one = judge(path)
            print(f"\n{_head(one.case)}")
            _story(one.replay.lines)
            for rule, held in sorted(one.replay.held, key=lambda pair: pair[1].opened_step):
                span = f"{held.opened_step} to {held.last_step}"
                print(f"  {span:>15} {held.severity.label:8} rule {rule}")
            for stream in load(path).writers if steps else ():
                _numbers(stream, *map(int, str(steps).split(":")))


def false_alarms(found: Iterable[Entry], *, least: Severity = Severity.INFO) -> None:
    """Print every alert of this severity or worse that fired before any fault."""
    steps = alarms = 0
    for one in found:
        fired = onsets(one.replay.lines, lambda x: x.state == "firing" and x.severity >= least)
        early = [line for line in fired if line.step < one.case.onset]
        steps, alarms = steps + one.case.healthy_steps, alarms + len(early)
        if early:
            print(_head(one.case))
            _story(early)
    print(f"\n{alarms} alerts in {steps} healthy steps")


def misses(found: Iterable[Entry]) -> None:
    """Print the faulty runs that were not found in time, or blamed on another cause."""
    faulty = wrong = 0
    for one in found:
        label, judged_so = one.case.label, one.found
        verdict = judged_so.verdict
        faulty += label is not None
        if label is None or (verdict and verdict.causes[0] in label.causes):
            continue
        wrong += 1
        what = f"BLAMED ON {' > '.join(verdict.causes)}" if verdict else "MISSED"
        print(f"{what}: {_head(one.case)}")
        _story(one.replay.lines)
    print(f"\n{wrong} of {faulty} faulty runs")


def _story(lines: Sequence[Line]) -> None:
    for line in lines:
        page = "PAGE " if line.actionable else ""
        print(
            f"  {line.step:6d} {line.state:8} {line.severity.label:8} {page}"
            f"{' > '.join(line.causes)} ({line.rule}, {line.confidence:.0%})"
        )
        if line.state != "resolved":
            print("".join(f"{'':>12}{text}\n" for text in line.evidence), end="")


def _head(case: Case) -> str:
    label = case.label
    if label is None:
        return f"{case.split} {case.name}: healthy, {case.healthy_steps} steps"
    kind = " ".join(word for word in ("systemic", "gradual") if getattr(label, word))
    return (
        f"{case.split} {case.name}: {label.fault} from {label.t0}, non-finite {label.t_nf}, "
        f"lost {label.t_irr}, end {case.end}, {kind or 'local'}; means {' | '.join(label.causes)}"
    )


def _numbers(stream: Stream, first: int, last: int) -> None:
    """The scalars, and over layers the median update ratio and the largest gradient norm."""
    names = [name for name in SCALARS if name in stream.scalars]
    columns = {name: stream.scalars[name] for name in names}
    with np.errstate(all="ignore"):
        if {"update_norm", "weight_norm"} <= stream.stats.keys():
            ratio = stream.stats["update_norm"] / stream.stats["weight_norm"]
            columns["median u/w"] = np.median(ratio, axis=1).astype(np.float64)
        if "grad_norm" in stream.stats:
            columns["worst layer"] = stream.stats["grad_norm"].max(axis=1).astype(np.float64)
    print(f"  {stream.name:>8} " + " ".join(f"{name:>11}" for name in columns))
    for row in np.flatnonzero((stream.steps >= first) & (stream.steps <= last)):
        values = " ".join(f"{column[row]:11.4g}" for column in columns.values())
        print(f"  {stream.steps[row]:8d} {values}")
