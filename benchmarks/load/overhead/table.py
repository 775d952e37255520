"""The table of W4: one line a model and watcher, costs against the bare steps of the same run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.load.overhead.blocks import Samples
from benchmarks.load.overhead.estimate import Overhead, overhead, share

MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """A watcher beside nobody on one model; ``synchronisations`` added a step, on a GPU."""

    model: str
    watcher: str
    measures: str
    watched: Samples
    bare: Samples
    synchronisations: float | None = None


HEAD = (
    f"W4  {'model':12} {'watcher':19} {'ms/step':>8}  {'wall, 95 % interval':>24}  "
    f"{'CPU time, 95 % interval':>24} {'ms in call':>10}  {'call, share of CPU time':>24} "
    f"{'syncs':>6}  measures"
)


def overhead_table(rows: Sequence[Row]) -> str:
    """A line a model and watcher."""
    return "\n".join([HEAD, *map(line, rows)])


def line(row: Row) -> str:
    """One of them."""
    wall = overhead(row.watched.wall, row.bare.wall)
    cpu = overhead(row.watched.cpu, row.bare.cpu)
    syncs = "-" if row.synchronisations is None else f"{row.synchronisations:+.1f}"
    call = share(row.watched.call_cpu, row.bare.cpu)
    return (
        f"W4  {row.model:12} {row.watcher:19} {1e3 * np.median(row.watched.wall):8.1f}  "
        f"{_percent(wall):>24}  {_percent(cpu):>24} {1e3 * np.median(row.watched.call):10.2f}  "
        f"{_percent(call):>24} {syncs:>6}  {row.measures}"
    )


def log_line(seconds: np.ndarray) -> str:
    """What ``run.log`` takes."""
    p50, p99 = 1e6 * np.quantile(seconds, (0.5, 0.99))
    return f"W4  run.log of 3 scalars and 20 x 4 statistics: p50 {p50:.0f} µs, p99 {p99:.0f} µs"


def memory_line(watched: int, bare: int) -> str:
    """What the client adds to the job's memory."""
    return (
        f"W4  resident memory of a job on the CPU: {watched / MIB:.0f} MiB watched, "
        f"{bare / MIB:.0f} MiB bare, {(watched - bare) / MIB:+.1f} MiB"
    )


def _percent(found: Overhead) -> str:
    ratio, low, high = (f"{100 * one:+.2f}" for one in (found.ratio, found.low, found.high))
    return f"{ratio} % [{low}, {high}]"
