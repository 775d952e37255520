"""Finds the peers by themselves, and measures those that are installed."""

from __future__ import annotations

import importlib
import pkgutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.load import peers
from benchmarks.load.databases import folder_bytes
from benchmarks.load.driver import Measured, measure
from benchmarks.load.formats import Format, format_streams
from benchmarks.load.jobs import Jobs
from benchmarks.load.reading import W3, ReadRow, ask, questions_of
from benchmarks.load.table import Row
from benchmarks.load.wire import Span
from benchmarks.load.writing import LONGEST_SECONDS, Workload, on_disk


@dataclass(frozen=True)
class Running:
    """A peer that runs: where it listens, and its process."""

    port: int
    pid: int


def named(_: int, count: int) -> list[str]:
    """Names for runs that a server takes as they come."""
    return [f"run-{place:04d}" for place in range(count)]


@dataclass(frozen=True)
class Peer:
    """How to start a server in a folder of its own, and the ways in that it has, the best first.

    ``missing`` says what is not installed, nothing if all is there. ``queries``: the questions of
    W3 by name, as paths with the places of ``reading.questions_of``; who has none is not asked.
    ``runs`` makes so many runs on the server at a port and says how they are called. One that
    takes minutes for what others take in seconds is measured for ``least_seconds``, from its first
    report on.
    """

    name: str
    missing: Callable[[], str]
    running: Callable[[Path], AbstractContextManager[Running]]
    formats: Callable[[Workload], Sequence[Format]]
    queries: Mapping[str, str] = field(default_factory=dict)
    runs: Callable[[int, int], Sequence[str]] = named
    least_seconds: float = 0.0

    def rows(self, workload: Workload, seconds: float, warmup: float) -> Iterator[Row]:
        """A row for each way in; bytes on disk are those of the first, they hardly differ."""
        size = self.bytes_a_float(on_disk(workload)) if workload.fills_disk else None
        start = 0 if self.least_seconds else workload.start
        span = Span(max(seconds, self.least_seconds), warmup, start)
        for form in self.formats(workload):
            with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as folder:
                found = self._measured(Path(folder), form, workload, span)
                yield Row(workload.name, f"{self.name} {form.name}", found, size)

    def read_rows(self) -> Iterator[ReadRow]:
        """The run of W3 is written, then read."""
        if not self.queries:
            return
        with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as folder:
            self._measured(Path(folder), self.formats(W3)[0], W3, Span(LONGEST_SECONDS))
            with self.running(Path(folder)) as server:  # what was written is visible for certain
                for one in questions_of(self.queries):
                    yield ask(self.name, server.port, (server.pid,), one)

    def bytes_a_float(self, workload: Workload) -> float:
        """What a cycle of values, none of them twice, takes on disk after a clean stop."""
        with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as name:
            folder = Path(name)
            with self.running(folder):
                pass
            empty, form = folder_bytes(folder), self.formats(workload)[0]
            found = self._measured(folder, form, workload, Span(LONGEST_SECONDS))
            return (folder_bytes(folder) - empty) / (sum(found.acknowledged) * workload.floats)

    def _measured(self, folder: Path, form: Format, workload: Workload, span: Span) -> Measured:
        with self.running(folder) as server:
            runs = self.runs(server.port, workload.runs)
            streams = partial(format_streams, form, workload, runs)
            return measure(server.port, (server.pid,), streams, span)


def all_peers() -> list[Peer | Jobs]:
    """Every peer that has a file."""
    names = [module.name for module in pkgutil.iter_modules(peers.__path__)]
    return [importlib.import_module(f"{peers.__name__}.{name}").PEER for name in sorted(names)]
