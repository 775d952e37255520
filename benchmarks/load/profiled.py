"""``python -m benchmarks.load.profiled FOLDER [flags of serve]``: the service under cProfile.

Every thread is profiled by itself, by the processor time it spends: waiting costs nothing. Small
functions look dearer than they are, by what the profiler adds to each call.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from gradwatch_service.commands import serve

LOOP = "event-loop"
PACKAGE = "gradwatch_service"
WORTH_SHOWING = 0.02

Place: TypeAlias = tuple[str, int, str]  # file, line, function
Row: TypeAlias = tuple[Place, tuple[int, int, float, float, object]]


def main(folder: Path, flags: Sequence[str]) -> int:
    """Serve until told to stop, then write a profile for each thread."""
    profiles: list[tuple[str, cProfile.Profile]] = []

    def begin(*_: object) -> None:
        profile = cProfile.Profile(time.thread_time)
        profiles.append((threading.current_thread().name, profile))
        sys.setprofile(None)
        profile.enable()

    threading.setprofile(begin)
    loop = cProfile.Profile(time.thread_time)
    profiles.append((LOOP, loop))
    try:
        return loop.runcall(serve, flags)
    finally:
        threading.setprofile(None)
        for number, (name, profile) in enumerate(profiles):
            profile.create_stats()
            profile.dump_stats(folder / f"{number:03d}-{name}.prof")


def report(folder: Path, entries: int) -> str:
    """The dearest functions of the threads that did most."""
    found = [(path.stem[4:], pstats.Stats(str(path))) for path in folder.glob("*.prof")]
    whole = sum(_seconds(stats) for _, stats in found)
    found.sort(key=lambda one: -_seconds(one[1]))
    return "\n\n".join(
        _thread(name, stats, whole, entries)
        for name, stats in found
        if _seconds(stats) > WORTH_SHOWING * whole
    )


def _seconds(stats: pstats.Stats) -> float:
    return sum(row[2] for row in stats.stats.values())  # type: ignore[attr-defined]


def _thread(name: str, stats: pstats.Stats, whole: float, entries: int) -> str:
    rows = list(stats.stats.items())  # type: ignore[attr-defined]
    own = _seconds(stats)
    dearest = sorted(rows, key=lambda row: -row[1][2])[:entries]
    ours = [row for row in rows if PACKAGE in row[0][0]]
    widest = sorted(ours, key=lambda row: -row[1][3])[:entries]
    return "\n".join(
        [
            f"{name}: {own:.2f} s of processor time, {own / whole:.0%} of the process",
            f"{'own %':>6} {'with callees %':>14} {'calls':>9} {'own µs':>8}  dearest alone",
            *(_entry(row, own) for row in dearest),
            f"{'':40}  dearest of ours with all they call",
            *(_entry(row, own) for row in widest),
        ]
    )


def _entry(row: Row, seconds: float) -> str:
    where, (_, calls, inside, cumulative, _) = row
    return (
        f"{100 * inside / seconds:6.1f} {100 * cumulative / seconds:14.1f} {calls:9d} "
        f"{1e6 * inside / calls:8.1f}  {_named(where)}"
    )


def _named(where: Place) -> str:
    path, line, function = where
    if path == "~":
        return function
    return f"{'/'.join(Path(path).parts[-2:])}:{line} {function}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
