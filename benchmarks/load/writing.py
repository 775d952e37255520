"""Workloads that write: W1, few runs that send much; W2, many runs that send little."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from benchmarks.load.courses import SCALARS, W1_STATS, W2_STATS, Course, Shape, course, layer_table
from benchmarks.load.driver import Measured, measure
from benchmarks.load.service import Service
from benchmarks.load.streams import Frames, FrameStream

SENDERS = 2


@dataclass(frozen=True)
class Workload:
    """So many runs of one shape, one connection each, ``batch`` steps a request.

    ``steps`` limits how far each run gets; runs share ``courses`` different courses. Bodies in a
    peer's format are prepared for so many ``sections`` of a course, then repeated. Of a workload
    that ``fills_disk``, bytes on disk are measured too.
    """

    name: str
    shape: Shape
    batch: int
    runs: int
    steps: int
    courses: int = 4
    sections: int = 16
    fills_disk: bool = False

    @property
    def floats(self) -> int:
        """Values in a request."""
        return self.batch * (self.shape.layers * len(self.shape.stats) + len(SCALARS))


W1 = Workload("W1", Shape(300, W1_STATS), batch=10, runs=4, steps=1_000_000, fills_disk=True)
W2 = Workload("W2", Shape(20, W2_STATS), batch=1, runs=200, steps=100_000)
WRITING = {"w1": W1, "w2": W2}


def write(service: Service, workload: Workload, seconds: float, warmup: float) -> Measured:
    """Register the runs, then send for this long."""
    runs = register(service, workload.shape.layers, workload.runs)
    streams = partial(frame_streams, workload, runs)
    return measure(service.port, service.pids, streams, seconds, warmup)


def register(service: Service, layers: int, count: int) -> list[str]:
    """New runs with their layer tables, as a client registers them."""
    body = {
        "project": "load",
        "layers": [layer.as_json() for layer in layer_table(layers).layers],
    }
    ids = [str(uuid.uuid4()) for _ in range(count)]
    with service.client() as http, ThreadPoolExecutor(SENDERS) as pool:
        answers = pool.map(lambda run: http.post("/runs", json={**body, "id": run}), ids)
        for answer in answers:
            answer.raise_for_status()
    return ids


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
    return replace(workload, steps=workload.shape.cycle, sections=sections)
