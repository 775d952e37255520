"""How the cost of a report grows with runs, stored steps and layers, and what memory runs take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.load.courses import W1_STATS, W2_STATS, Shape, course, layer_table
from benchmarks.load.databases import DATABASES
from benchmarks.load.driver import Measured, measure
from benchmarks.load.service import Service, serving
from benchmarks.load.streams import Frames, FrameStream, Turns
from benchmarks.load.wire import Span
from benchmarks.load.writing import register

RUNS = (10, 100, 1_000, 10_000)
STORED_STEPS = (1_000, 10_000, 100_000, 1_000_000, 3_000_000)
LAYERS = (10, 100, 1_000, 10_000, 100_000)
CONNECTIONS = 10
FILLING_BATCH = 96  # whole blocks of reports, which are judged half again as fast
SMALL = Shape(20, W2_STATS)
BLOCK = 16
ACTIVE_RUNS, ACTIVE = 1_000, Shape(300, W1_STATS, cycle=256)
LARGEST_CYCLE, VALUES_PREPARED = 640, 8_000_000
KNOWN_STEPS, STEPS_MEASURED, REPORTS_A_SECOND = 80, 16, 3_000
STEPS_A_SECOND = 5_000  # more than a run gets
FILLING_SECONDS = 600.0
FIRST_STEPS, LAYERS_A_SECOND = 5, 5_000

RUNS_AXIS, STEPS_AXIS, LAYERS_AXIS, MEMORY_AXIS = "runs", "stored steps", "layers", "active runs"


@dataclass(frozen=True)
class Point:
    """What a report costs at one size of one thing."""

    axis: str
    size: int
    values: int
    measured: Measured


@dataclass(frozen=True)
class Reached:
    """How far a run is: its next step, and the number of its next frame."""

    run: str
    step: int = 0
    seq: int = 0


def points(database: str, seconds: float) -> Iterator[Point]:
    """All curves, point by point."""
    for count in RUNS:
        yield _runs(database, count, seconds)
    yield from _stored_steps(database, seconds)
    for layers in LAYERS:
        yield _layers(database, layers, seconds)
    yield _memory(database)


def _runs(database: str, count: int, seconds: float) -> Point:
    """Every run is known well before it counts; runs take turns on a few connections.

    Long enough for every run to have some blocks of reports judged.
    """
    with DATABASES[database]() as fresh, serving(fresh) as service:
        runs = [Reached(run) for run in register(service, SMALL.layers, count)]
        send(service, SMALL, runs, KNOWN_STEPS, FILLING_SECONDS, KNOWN_STEPS)
        runs = [Reached(one.run, KNOWN_STEPS, 1) for one in runs]
        longer = max(seconds, count * STEPS_MEASURED / REPORTS_A_SECOND)
        found = send(service, SMALL, runs, steps=_plenty(longer), seconds=longer)
    return Point(RUNS_AXIS, count, SMALL.values, found)


def _stored_steps(database: str, seconds: float) -> Iterator[Point]:
    """The same runs grow longer; stretches of single reports are measured in between."""
    with DATABASES[database]() as fresh, serving(fresh) as service:
        runs = [Reached(run) for run in register(service, SMALL.layers, CONNECTIONS)]
        for stored in STORED_STEPS:
            steps = stored // len(runs)
            found = send(service, SMALL, runs, steps, FILLING_SECONDS, FILLING_BATCH)
            runs = _further(runs, found, FILLING_BATCH)
            found = send(service, SMALL, runs, steps + _plenty(seconds), seconds)
            runs = _further(runs, found, 1)
            yield Point(STEPS_AXIS, stored, SMALL.values, found)


def _layers(database: str, layers: int, seconds: float) -> Point:
    """One run with ever more layers, a step a request; the more layers, the longer."""
    values = layers * len(W1_STATS)
    cycle = min(LARGEST_CYCLE, max(VALUES_PREPARED // values, CONNECTIONS))
    shape = Shape(layers, W1_STATS, cycle)
    with DATABASES[database]() as fresh, serving(fresh) as service:
        runs = [Reached(run) for run in register(service, layers, 1)]
        found = send(service, shape, runs, FIRST_STEPS, FILLING_SECONDS)
        runs = _further(runs, found, 1)
        longer = max(seconds, layers / LAYERS_A_SECOND)
        found = send(service, shape, runs, _plenty(longer), longer)
    return Point(LAYERS_AXIS, layers, shape.values, found)


def _memory(database: str) -> Point:
    """Many runs of many layers, each long enough to be known well."""
    with DATABASES[database]() as fresh, serving(fresh) as service:
        runs = [Reached(run) for run in register(service, ACTIVE.layers, ACTIVE_RUNS)]
        steps, batch = ACTIVE.cycle, BLOCK
        found = send(service, ACTIVE, runs, steps, FILLING_SECONDS, batch)
    return Point(MEMORY_AXIS, ACTIVE_RUNS, batch * ACTIVE.values, found)


def send(
    service: Service,
    shape: Shape,
    runs: Sequence[Reached],
    steps: int,
    seconds: float,
    batch: int = 1,
) -> Measured:
    """Send each run's reports up to so many steps, at most for so long."""
    streams = partial(turns, shape, runs, steps, batch)
    return measure(service.port, service.pids, streams, Span(seconds))


def turns(shape: Shape, runs: Sequence[Reached], steps: int, batch: int) -> list[Turns]:
    """A few connections' streams; each takes a share of the runs in turn."""
    frames = Frames(course(shape, steps, seed=0), layer_table(shape.layers), batch)
    streams = [FrameStream(one.run, frames, one.step, one.seq) for one in runs]
    shares = [streams[place::CONNECTIONS] for place in range(CONNECTIONS)]
    return [Turns(share) for share in shares if share]


def _further(runs: Sequence[Reached], found: Measured, batch: int) -> list[Reached]:
    """Where runs with a connection of their own are afterwards."""
    return [
        Reached(one.run, one.step + sent * batch, one.seq + sent)
        for one, sent in zip(runs, found.acknowledged, strict=True)
    ]


def _plenty(seconds: float) -> int:
    return int(STEPS_A_SECOND * seconds)
