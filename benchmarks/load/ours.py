"""Measures our own service: each workload on a fresh server and a fresh database."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import profiled
from benchmarks.load.databases import DATABASES
from benchmarks.load.service import PLAIN, serving
from benchmarks.load.table import OURS, Row, table
from benchmarks.load.writing import LONGEST_SECONDS, Workload, on_disk, write

PROFILED_ENTRIES = 25


def row(database: str, workload: Workload, seconds: float, warmup: float, settle: float) -> Row:
    """A workload's line, with the bytes on disk where it fills it."""
    size = bytes_a_float(database, on_disk(workload), settle) if workload.fills_disk else None
    return _row(database, workload, seconds, warmup, size=size)


def bytes_a_float(database: str, workload: Workload, settle: float) -> float:
    """What a cycle of values, none of them twice, takes after ``settle`` seconds of compaction."""
    with DATABASES[database]() as fresh:
        with serving(fresh):
            pass
        empty = fresh.size()
        with serving(fresh) as service:
            found = write(service, workload, LONGEST_SECONDS, 0.0)
            time.sleep(settle)
        return (fresh.size() - empty) / (sum(found.acknowledged) * workload.floats)


def profile(database: str, workload: Workload, seconds: float, warmup: float) -> str:
    """A workload's line and where each thread's time went; the profiler itself costs a lot."""
    with tempfile.TemporaryDirectory(prefix="gradwatch-profile-") as folder:
        program = ("-m", "benchmarks.load.profiled", folder)
        found = _row(database, workload, seconds, warmup, program=program)
        return f"{table([found])}\n\n{profiled.report(Path(folder), PROFILED_ENTRIES)}\n"


def _row(
    database: str,
    workload: Workload,
    seconds: float,
    warmup: float,
    *,
    program: Sequence[str] = PLAIN,
    size: float | None = None,
) -> Row:
    with DATABASES[database]() as fresh, serving(fresh, program) as service:
        found = write(service, workload, seconds, warmup)
        return Row(workload.name, f"{OURS} {database}", found, size)
