"""Workload W3: one layer's statistic over a long run, and the newest part of a matrix."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.load.courses import FIRST_SECOND, STEP_SECONDS, W1_STATS, Shape, layer_table
from benchmarks.load.databases import DATABASES
from benchmarks.load.driver import measure
from benchmarks.load.processes import usage
from benchmarks.load.service import HOST, serving
from benchmarks.load.table import OURS
from benchmarks.load.wire import Span
from benchmarks.load.writing import LONGEST_SECONDS, Workload, frame_streams, register

STEPS, NEWEST, LAYERS = 10_000, 500, 300
METRIC, LAYER = "grad_norm", layer_table(LAYERS).names[LAYERS // 2]
W3 = Workload("W3", Shape(LAYERS, W1_STATS), batch=10, runs=1, steps=STEPS, courses=1, sections=64)
# What a peer's query may name: seconds of the run's beginning, of the newest part and of the end.
SPANS = {
    "first": int(FIRST_SECOND),
    "newest": int(FIRST_SECOND + STEP_SECONDS * (STEPS - NEWEST)),
    "last": int(FIRST_SECOND + STEP_SECONDS * STEPS),
    "span": int(STEP_SECONDS * STEPS) + 1,
    "newest_span": int(STEP_SECONDS * NEWEST),
}
READS, FIRST_READS = 60, 5
RAW = "application/octet-stream"


@dataclass(frozen=True)
class Read:
    """One question, by the form of its answer."""

    name: str
    path: str
    accept: str = "application/json"


@dataclass(frozen=True)
class ReadRow:
    """How long the answers to a question took, as the asker sees it."""

    system: str
    read: str
    p50: float
    p99: float
    kilobytes: float
    cpu_seconds: float
    note: str = ""


def our_rows(database: str, settle: float) -> Iterator[ReadRow]:
    """A run of 10,000 steps is written, compacted for a while, then read."""
    with DATABASES[database]() as fresh, serving(fresh) as service:
        run = register(service, LAYERS, 1)[0]
        streams = partial(frame_streams, W3, [run])
        measure(service.port, service.pids, streams, Span(LONGEST_SECONDS))
        time.sleep(settle)
        for one in _questions(run):
            yield ask(f"{OURS} {database}", service.port, service.pids, one)


def _questions(run: str) -> list[Read]:
    base = f"/api/v1/runs/{run}"
    series = f"{base}/series?metric={METRIC}&layer={LAYER}&points={STEPS}"
    newest = f"from={STEPS - NEWEST}&to={STEPS - 1}&rows={LAYERS}&cols={NEWEST}"
    matrix = f"{base}/heatmap?metric={METRIC}&{newest}"
    return [
        Read("series", series),
        Read("series raw", series, RAW),
        Read("matrix", matrix),
        Read("matrix raw", matrix, RAW),
    ]


def ask(system: str, port: int, pids: Sequence[int], read: Read) -> ReadRow:
    """Put a question many times, one after the other."""
    with closing(http.client.HTTPConnection(HOST, port, timeout=60)) as connection:
        answers = [_answer(connection, read) for _ in range(FIRST_READS)]
        refusal = _refusal(answers[-1], read)
        if refusal:
            return ReadRow(system, read.name, np.nan, np.nan, np.nan, np.nan, refusal)
        before, latencies = usage(pids), []
        for _ in range(READS):
            begun = time.perf_counter()
            _answer(connection, read)
            latencies.append(time.perf_counter() - begun)
        spent = (usage(pids) - before).cpu_seconds / READS
    p50, p99 = np.quantile(latencies, (0.5, 0.99))
    return ReadRow(system, read.name, p50, p99, len(answers[-1].body) / 1e3, spent)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    media: str
    body: bytes


def _answer(connection: http.client.HTTPConnection, read: Read) -> Answer:
    connection.request("GET", read.path, headers={"Accept": read.accept})
    got = connection.getresponse()
    return Answer(got.status, got.headers.get_content_type(), got.read())


def _refusal(answer: Answer, read: Read) -> str:
    if answer.status == http.client.NOT_FOUND:
        return "skipped: there is no such route yet"
    if answer.status != http.client.OK:
        return f"answered {answer.status}: {answer.body[:200]!r}"
    if read.accept == RAW and answer.media != RAW:
        return f"skipped: answered as {answer.media}"
    return ""


HEAD = (
    f"W3  {'system':29} {'read':12} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'kB':>8}  newest "
    f"{NEWEST} x {LAYERS} of {STEPS} steps"
)


def read_table(rows: Sequence[ReadRow]) -> str:
    """A line a system and question."""
    return "\n".join([HEAD, *(_line(row) for row in rows)])


def _line(row: ReadRow) -> str:
    begin = f"W3  {row.system:29} {row.read:12}"
    if row.note:
        return f"{begin} {row.note}"
    return (
        f"{begin} {1e3 * row.p50:8.2f} {1e3 * row.p99:8.2f} {1e3 * row.cpu_seconds:8.2f} "
        f"{row.kilobytes:8.0f}"
    )


def questions_of(queries: Mapping[str, str]) -> list[Read]:
    """A peer's questions, with the run, the layer and the times filled in."""
    names = {"metric": METRIC, "layer": LAYER, "run": "run-0000", **SPANS}
    return [Read(name, query.format(**names)) for name, query in queries.items()]
