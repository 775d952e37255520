"""Records every run of the benchmark in ``build/recordings``; what is up to date stays.

A recording is made again when the code that makes it has changed: the core, its task, its fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.detection import fault as faults
from benchmarks.detection import task as tasks
from benchmarks.detection.recording import FOLDER, FRESH, SPLITS, Label, load_all, save
from benchmarks.detection.runs import Plan, plans, record

HERE = Path(__file__).parent
INDEX = "index.json"  # name of a run -> digest of the code that recorded it


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of ``python -m benchmarks.detection record``."""
    parser = argparse.ArgumentParser(prog="benchmarks.detection record", description=__doc__)
    parser.add_argument("--split", choices=[*SPLITS, FRESH, "all"], default="all")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="family/variant, or the start of it")
    parser.add_argument("--quick", action="store_true", help="one run in ten, for a smoke test")
    given = parser.parse_args(argv)
    splits = SPLITS if given.split == "all" else (given.split,)
    every = [plan for split in splits for plan in plans(split)]
    wanted = [plan for plan in every if f"{plan.task}/{plan.variant}".startswith(given.only)]
    record_all(wanted[:: 10 if given.quick else 1], given.processes)
    _forget_unplanned()
    for line in summary(splits):
        _say(line)


def record_all(wanted: Sequence[Plan], processes: int) -> None:
    """Record what is not up to date, in processes of their own."""
    index = _index()
    digests = {plan: digest(plan) for plan in wanted}
    todo = [plan for plan in wanted if index.get(plan.name) != digests[plan]]
    spent = 0.0
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for done, (plan, seconds) in enumerate(pool.imap_unordered(_make, todo), 1):
            spent += seconds
            _write(_index() | {plan.name: digests[plan]})
            _say(f"{done}/{len(todo)} {plan.split} {plan.name} {seconds:.1f} s")
    _say(f"{len(todo)} runs made, {len(wanted) - len(todo)} up to date; {spent:.0f} CPU seconds")


def _make(plan: Plan) -> tuple[Plan, float]:
    """Record one run to its file; no file if there was nothing to find in it."""
    begun = time.process_time()
    recording = record(plan)
    if recording is None:
        plan.path(FOLDER).unlink(missing_ok=True)
    else:
        save(recording)
    return plan, time.process_time() - begun


def digest(plan: Plan) -> str:
    """Of all code that makes this recording."""
    modules = {HERE / f"{name}.py" for name in CORE}
    modules.add(_source(tasks.catalogue()[plan.task].module))
    if plan.case is not None:
        modules.add(_source(faults.catalogue()[plan.case].module))
    code = b"".join(path.read_bytes() for path in sorted(modules))
    return hashlib.sha256(code).hexdigest()[:16]


CORE = ("fault", "loss_scale", "meter", "nets", "oracle", "recording", "runs", "task", "trainer")


def _source(module: str) -> Path:
    return HERE.joinpath(*module.split(".")[2:]).with_suffix(".py")


def _index() -> dict[str, str]:
    path = FOLDER / INDEX
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _write(index: Mapping[str, str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / INDEX).write_text(json.dumps(index, indent=0, sort_keys=True))


def _forget_unplanned() -> None:
    """Delete recordings of runs that no task or fault asks for any more."""
    planned = {plan.path(FOLDER) for split in (*SPLITS, FRESH) for plan in plans(split)}
    for path in set(FOLDER.glob("*/*.npz")) - planned:
        path.unlink()


def summary(splits: Iterable[str]) -> Iterator[str]:
    """What there is: healthy reports of each split, and of each fault when its runs were lost."""
    for split in splits:
        labels: dict[str, list[Label]] = defaultdict(list)
        healthy: dict[str, int] = defaultdict(int)
        for recording in load_all(split):
            if recording.label is None:
                healthy[recording.family] += len({s for w in recording.writers for s in w.steps})
            else:
                labels[recording.label.fault].append(recording.label)
        yield f"{split}: {sum(healthy.values())} healthy steps of {len(healthy)} families"
        for fault, found in sorted(labels.items()):
            lost = [_after(label.t_irr, label) for label in found]
            broken = [_after(label.t_nf, label) for label in found]
            yield (
                f"  {fault:24} {len(found):3} runs; steps from injection to non-finite "
                f"{_median(broken)}, to beyond repair {_median(lost)}"
            )


def _after(step: int | None, label: Label) -> int | None:
    return None if step is None else step - label.t0


def _median(steps: Sequence[int | None]) -> str:
    known = [step for step in steps if step is not None]
    return f"{statistics.median_low(known)} ({len(known)} of {len(steps)})" if known else "never"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
