"""Workloads that write: W1, few runs that send much; W2, many runs that send little."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import zstandard

from benchmarks.load.courses import W1_STATS, W2_STATS, Course, Shape, course, layer_table
from benchmarks.load.driver import Measured, measure
from benchmarks.load.service import Service
from benchmarks.load.streams import Frames, FrameStream, Posts
from benchmarks.load.wire import Span

SENDERS = 8
JSON = "Content-Type: application/json\r\nContent-Encoding: zstd\r\n"


@dataclass(frozen=True)
class Workload:
    """So many runs of one shape, one connection each, ``batch`` steps a request.

    ``steps`` limits how far each run gets; runs share ``courses`` different courses. Bodies in a
    peer's format are prepared for so many ``sections`` of a course, then repeated. Nothing counts
    before ``start`` requests of each run are acknowledged: a run's first reports are judged one by
    one. Of a workload that ``fills_disk``, bytes on disk are measured too.
    """

    name: str
    shape: Shape
    batch: int
    runs: int
    steps: int
    courses: int = 4
    sections: int = 16
    start: int = 0
    fills_disk: bool = False

    @property
    def floats(self) -> int:
        """Values in a request."""
        return self.batch * self.shape.values


W1 = Workload(
    "W1", Shape(300, W1_STATS), batch=10, runs=4, steps=1_000_000, start=10, fills_disk=True
)
W2 = Workload("W2", Shape(20, W2_STATS), batch=1, runs=200, steps=100_000, start=80)
WRITING = {"w1": W1, "w2": W2}
LONGEST_SECONDS = 120.0


def write(service: Service, workload: Workload, seconds: float, warmup: float) -> Measured:
    """Register the runs, send until all have started, then for this long."""
    runs = register(service, workload.shape.layers, workload.runs)
    streams = partial(frame_streams, workload, runs)
    return measure(service.port, service.pids, streams, Span(seconds, warmup, workload.start))


def register(service: Service, layers: int, count: int) -> list[str]:
    """New runs with their layer tables, as a client registers them."""
    runs = [str(uuid.uuid4()) for _ in range(count)]
    streams = partial(_registrations, layers, runs)
    found = measure(service.port, service.pids, streams, Span(LONGEST_SECONDS))
    if sum(found.acknowledged) < count:
        raise SystemExit(f"runs were not registered: {found.statuses} {found.refusal}")
    return runs


def _registrations(layers: int, runs: Sequence[str]) -> list[Posts]:
    table = [layer.as_json() for layer in layer_table(layers).layers]
    text = json.dumps({"project": "load", "id": "RUN", "layers": table})
    begin, end = (part.encode() for part in text.split("RUN"))
    bodies = [zstandard.compress(begin + run.encode() + end, 1) for run in runs]
    shares = [bodies[sender::SENDERS] for sender in range(SENDERS)]
    return [Posts("/api/v1/runs", share, JSON) for share in shares if share]


def frame_streams(workload: Workload, runs: Sequence[str]) -> list[FrameStream]:
    """A stream of frames for each run."""
    table = layer_table(workload.shape.layers)
    frames = [
        Frames(course_of(workload, place), table, workload.batch)
        for place in range(min(workload.courses, len(runs)))
    ]
    return [FrameStream(run, frames[place % len(frames)]) for place, run in enumerate(runs)]


@lru_cache(maxsize=8)
def _course(shape: Shape, steps: int, seed: int) -> Course:
    return course(shape, steps, seed)


def course_of(workload: Workload, place: int) -> Course:
    """The course of the run at this place."""
    return _course(workload.shape, workload.steps, place % workload.courses)


def on_disk(workload: Workload) -> Workload:
    """A workload whose runs report one cycle, so that no value is there twice."""
    sections = workload.shape.cycle // workload.batch
    return replace(workload, steps=workload.shape.cycle, sections=sections, start=0)
