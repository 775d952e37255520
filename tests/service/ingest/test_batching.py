"""However reports are cut, grouped, interleaved and interrupted: the same alerts, bit for bit."""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.domain import Frame
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.ingest.writer import Limits, Writer
from tests.service.ingest.rig import DEADLINE, create_run, verdict
from tests.service.ingest.training import REPORTS, cut, exploding

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WRITERS = ("rank0", "rank1")
_on_a_shared_database = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@cache
def story(writer: str) -> Frame:
    return exploding(WRITERS.index(writer))


def ingest(engine: Engine, pushes: Sequence[FramePush], group: int, lives: int) -> None:
    """Hand the pushes over in groups of this size, to so many writers one after the other."""
    size = -(-len(pushes) // lives)
    for first in range(0, len(pushes), size):
        writer = Writer(engine, limits=Limits(jobs_in_group=group))
        pending = [writer.submit(push) for push in pushes[first : first + size]]
        writer.start()
        assert {one.result(DEADLINE).status for one in pending} == {"stored"}
        writer.stop()


def shuffled(pushes: Mapping[str, list[FramePush]], seed: int) -> list[FramePush]:
    """The writers' pushes in any order between writers; now and then two of one are swapped."""
    chance = random.Random(seed)
    order = [writer for writer in pushes for _ in pushes[writer]]
    chance.shuffle(order)
    queues = {writer: list(queue) for writer, queue in pushes.items()}
    for queue in queues.values():
        for index in range(1, len(queue)):
            if chance.random() < 0.2:
                queue[index - 1], queue[index] = queue[index], queue[index - 1]
    return [queues[writer].pop(0) for writer in order]


def anonymous(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    """The verdict on a run without the ids that follow from the run's."""
    text = json.dumps(verdict(engine, run_id), sort_keys=True)
    return json.loads(UUID.sub("id", text))


@_on_a_shared_database
@given(
    ends=st.lists(st.lists(st.integers(1, REPORTS - 1), max_size=20), min_size=2, max_size=2),
    group=st.integers(1, 40),
    lives=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_cutting_grouping_order_and_restarts_change_nothing(
    engine: Engine, ends: list[list[int]], group: int, lives: int, seed: int
) -> None:
    plain_run, run_id = create_run(engine), create_run(engine)
    ingest(engine, [push for w in WRITERS for push in cut(plain_run, story(w), [], w)], 1, 1)
    pushes = {w: cut(run_id, story(w), cuts, w) for w, cuts in zip(WRITERS, ends, strict=True)}
    ingest(engine, shuffled(pushes, seed), group, lives)
    expected = anonymous(engine, plain_run)
    assert [body["state"] for body in expected["alerts"].values()].count("firing") >= 1
    assert anonymous(engine, run_id) == expected
