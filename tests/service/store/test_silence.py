"""Which runs have been silent for too long, by their own pace."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator

import pytest
from sqlalchemy import Engine

from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import runs
from gradwatch_service.store.silence import Silence, patience, silences
from tests.service.ingest.rig import (
    NOW,
    answer,
    create_run,
    events_push,
    serving,
    simple_push,
)


@pytest.mark.parametrize(
    ("pushes", "intervals", "longest", "seconds"),
    [
        (0, [], 0.0, 1800),
        (4, [1.0] * 3, 1.0, 1800),
        (5, [], 0.0, 1800),
        (5, [1.0] * 4, 1.0, 30),
        (100, [10.0] * 64, 10.0, 50),
        (100, [1.0] * 63 + [100.0], 100.0, 300),
        (100, [1.0] * 62 + [100.0, 120.0], 120.0, 500),
        (100, [1.0] * 64, 200.0, 600),
    ],
)
def test_patience_follows_the_pace_of_the_run(
    pushes: int, intervals: list[float], longest: float, seconds: float
) -> None:
    assert patience(pushes, intervals, longest) == seconds


class Clock:
    """A clock that is set, in seconds after NOW."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(engine: Engine, clock: Clock) -> Iterator[Writer]:
    with serving(engine, clock=clock) as writer:
        yield writer


def push(service: Writer, clock: Clock, run_id: uuid.UUID, moments: Iterable[float]) -> None:
    """One push at each of these moments."""
    for seq, moment in enumerate(moments):
        clock.seconds = moment
        answer(service, simple_push(run_id, seq))


def seen(engine: Engine, seconds: float) -> dict[uuid.UUID, Silence]:
    """What there is to say at this moment."""
    with engine.connect() as connection:
        found = silences(connection, NOW + dt.timedelta(seconds=seconds))
    return {one.run_id: one for one in found}


def allowed(engine: Engine, run_id: uuid.UUID, after: float) -> float:
    """For how many seconds after this moment the run is not silent for too long."""
    patient = seen(engine, after + 10**6)[run_id].patience
    assert run_id not in seen(engine, after + patient)
    assert run_id in seen(engine, after + patient + 0.1)
    return patient


def test_each_run_is_judged_by_its_own_pace(engine: Engine, service: Writer, clock: Clock) -> None:
    quick, slow, fresh = (create_run(engine) for _ in range(3))
    push(service, clock, slow, [60.0 * n for n in range(10)])
    push(service, clock, quick, [540.0 + n for n in range(10)])
    assert seen(engine, 549.0 + 29) == {}
    assert list(seen(engine, 549.0 + 31)) == [quick]
    assert allowed(engine, quick, 549.0) == 30
    assert allowed(engine, slow, 540.0) == 300
    assert allowed(engine, fresh, 0.0) == 1800


def test_a_silence_says_since_when_and_how_long(
    engine: Engine, service: Writer, clock: Clock
) -> None:
    run_id = create_run(engine)
    push(service, clock, run_id, range(10))
    since = NOW + dt.timedelta(seconds=9)
    assert seen(engine, 50)[run_id] == Silence(run_id, 10, since, seconds=41.0, patience=30.0)


def test_a_long_pause_of_the_past_is_allowed_three_times(
    engine: Engine, service: Writer, clock: Clock
) -> None:
    run_id = create_run(engine)
    moments = [*range(10), *range(209, 309)]  # a pause of 200 s, more than 64 pushes ago
    push(service, clock, run_id, moments)
    assert allowed(engine, run_id, 308.0) == 600


def test_the_time_to_the_first_push_is_no_pause(
    engine: Engine, service: Writer, clock: Clock
) -> None:
    run_id = create_run(engine)
    push(service, clock, run_id, range(1000, 1010))
    assert allowed(engine, run_id, 1009.0) == 30


def test_only_the_last_64_intervals_count_but_for_the_longest(
    engine: Engine, service: Writer, clock: Clock
) -> None:
    run_id = create_run(engine)
    slow = [20.0 * n for n in range(20)]
    push(service, clock, run_id, [*slow, *(380.0 + n for n in range(1, 70))])
    assert allowed(engine, run_id, 449.0) == 60


@pytest.mark.parametrize(("kind", "seconds"), [("phase", 1800), ("checkpoint", 1800), ("note", 30)])
def test_who_says_that_something_else_begins_may_be_silent_for_long(
    engine: Engine, service: Writer, clock: Clock, kind: str, seconds: float
) -> None:
    run_id = create_run(engine)
    push(service, clock, run_id, range(10))
    answer(service, events_push(run_id, {"kind": kind, "step": 9}))
    assert allowed(engine, run_id, 9.0) == seconds
    clock.seconds = 10.0
    answer(service, simple_push(run_id, 10))
    assert allowed(engine, run_id, 10.0) == 30


def test_a_new_launch_is_paced_anew(engine: Engine, service: Writer, clock: Clock) -> None:
    run_id = create_run(engine, launch_id="first")
    push(service, clock, run_id, [*range(10), 500.0])
    create_run(engine, NOW + dt.timedelta(seconds=600), id=run_id, launch_id="second")
    assert allowed(engine, run_id, 600.0) == 1800


def test_a_finished_run_is_not_silent(engine: Engine, service: Writer, clock: Clock) -> None:
    run_id = create_run(engine)
    push(service, clock, run_id, range(10))
    with engine.begin() as connection:
        runs.finish_run(connection, run_id, "finished", None, NOW)
    assert seen(engine, 10**6) == {}
