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
from benchmarks.load.driver import measure
from benchmarks.load.formats import Format, format_streams
from benchmarks.load.reading import W3, ReadRow, ask, questions_of
from benchmarks.load.table import Row
from benchmarks.load.wire import Span
from benchmarks.load.writing import LONGEST_SECONDS, Workload, on_disk


@dataclass(frozen=True)
class Running:
    """A peer that runs: where it listens, and its process."""

    port: int
    pid: int


@dataclass(frozen=True)
class Peer:
    """How to start a peer in a folder of its own, and the ways in that it has, the best first.

    ``missing`` says what is not installed, nothing if all is there. ``queries``: the questions of
    W3 by name, as paths with the places of ``reading.questions_of``.
    """

    name: str
    missing: Callable[[], str]
    running: Callable[[Path], AbstractContextManager[Running]]
    formats: Callable[[Workload], Sequence[Format]]
    queries: Mapping[str, str] = field(default_factory=dict)


def all_peers() -> list[Peer]:
    """Every peer that has a file."""
    names = [module.name for module in pkgutil.iter_modules(peers.__path__)]
    return [importlib.import_module(f"{peers.__name__}.{name}").PEER for name in sorted(names)]


def rows(peer: Peer, workload: Workload, seconds: float, warmup: float) -> Iterator[Row]:
    """A row for each way in; bytes on disk are those of the first, they hardly differ."""
    size = bytes_a_float(peer, on_disk(workload)) if workload.fills_disk else None
    for form in peer.formats(workload):
        with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as folder:
            with peer.running(Path(folder)) as server:
                streams = partial(format_streams, form, workload)
                span = Span(seconds, warmup, workload.start)
                found = measure(server.port, (server.pid,), streams, span)
            yield Row(workload.name, f"{peer.name} {form.name}", found, size)


def read_rows(peer: Peer) -> Iterator[ReadRow]:
    """The run of W3 is written, then read."""
    with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as folder:
        with peer.running(Path(folder)) as server:
            streams = partial(format_streams, peer.formats(W3)[0], W3)
            measure(server.port, (server.pid,), streams, Span(LONGEST_SECONDS))
        with peer.running(Path(folder)) as server:  # what was written is visible for certain
            for one in questions_of(peer.queries):
                yield ask(peer.name, server.port, (server.pid,), one)


def bytes_a_float(peer: Peer, workload: Workload) -> float:
    """What a cycle of values, none of them twice, takes on disk after a clean stop."""
    with tempfile.TemporaryDirectory(prefix="gradwatch-peer-") as name:
        folder = Path(name)
        with peer.running(folder):
            pass
        empty = folder_bytes(folder)
        with peer.running(folder) as server:
            streams = partial(format_streams, peer.formats(workload)[0], workload)
            found = measure(server.port, (server.pid,), streams, Span(LONGEST_SECONDS))
        return (folder_bytes(folder) - empty) / (sum(found.acknowledged) * workload.floats)
