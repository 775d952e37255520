"""Measures peers without a server: every run is a job in a process of its own that writes files."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from benchmarks.load.databases import folder_bytes
from benchmarks.load.driver import summary
from benchmarks.load.processes import usage
from benchmarks.load.reading import ReadRow
from benchmarks.load.reports import report
from benchmarks.load.service import stopped_after
from benchmarks.load.table import Row
from benchmarks.load.wire import Meter
from benchmarks.load.writing import Workload, course_of

MOST_JOBS = 8  # with more, the processes themselves would be measured


@dataclass(frozen=True)
class Jobs:
    """A peer whose ``command`` is told a file of reports, a folder to write to, and how long.

    It says a line when it is ready, logs after it has read one, and says each report's seconds as
    JSON once everything is written.
    """

    name: str
    missing: Callable[[], str]
    command: Callable[[], Sequence[str]]
    environment: Mapping[str, str]

    def rows(self, workload: Workload, seconds: float, _warmup: float) -> Iterator[Row]:
        """All runs at once, until the last of them has written what it was given."""
        if workload.runs > MOST_JOBS:
            return
        with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as name:
            folder = Path(name)
            meter, latencies = self._measured(folder, workload, seconds)
            meter.floats = len(meter.latencies) * workload.floats
            size = sum(map(folder_bytes, folder.glob("written-*"))) / meter.floats
            found = summary(meter, [len(one) for one in latencies])
            yield Row(workload.name, self.name, found, size)

    def read_rows(self) -> Iterator[ReadRow]:
        """There is nobody to ask."""
        yield from ()

    def _measured(
        self, folder: Path, workload: Workload, seconds: float
    ) -> tuple[Meter, list[list[float]]]:
        with ExitStack() as stack:
            jobs = [
                stack.enter_context(self._job(folder, workload, place, seconds))
                for place in range(workload.runs)
            ]
            for job in jobs:
                _hear(job)
            pids = [job.pid for job in jobs]
            begun, before = time.perf_counter(), usage(pids)
            for job in jobs:
                _tell(job)
            latencies: list[list[float]] = [json.loads(_hear(job)) for job in jobs]
            meter = Meter(time.perf_counter() - begun, spent=usage(pids) - before)
            meter.latencies = array("d", chain(*latencies))
            return meter, latencies

    @contextmanager
    def _job(
        self, folder: Path, workload: Workload, place: int, seconds: float
    ) -> Iterator[subprocess.Popen[str]]:
        values, written = folder / f"reports-{place}", folder / f"written-{place}"
        values.write_text(json.dumps(reports(workload, place)))
        written.mkdir()
        job = subprocess.Popen(
            [*self.command(), str(values), str(written), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **self.environment},
            text=True,
        )
        with job, stopped_after(job):
            yield job


def reports(workload: Workload, place: int) -> list[list[dict[str, float]]]:
    """What the run at this place reports: values by name, by step, by report."""
    short = replace(workload, steps=workload.sections * workload.batch)
    course = course_of(short, place)
    places = range(0, short.steps, short.batch)
    return [report(course, "", at, short.batch).steps for at in places]


def _tell(job: subprocess.Popen[str]) -> None:
    assert job.stdin is not None
    with suppress(BrokenPipeError):  # who has ended is heard to have
        os.write(job.stdin.fileno(), b"\n")


def _hear(job: subprocess.Popen[str]) -> str:
    assert job.stdout is not None
    line = job.stdout.readline()
    if not line:
        raise SystemExit(f"{job.args!r} ended before it had written everything")
    return line
