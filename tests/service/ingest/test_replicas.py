"""Several writers on one database: nothing lost, nothing doubled, the alerts of one."""

from __future__ import annotations

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine

from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import launches, tables
from gradwatch_service.store.database import make_engine
from tests.databases import POSTGRES
from tests.service.ingest.rig import (
    NOW,
    answer,
    create_run,
    rows,
    serving,
    simple_push,
    steps_push,
    verdict,
)
from tests.service.ingest.training import cut, exploding

pytestmark = pytest.mark.parametrize("backend", [POSTGRES])

RANKS = ("rank0", "rank1", "rank2")


@pytest.fixture
def replicas(engine: Engine, database_url: str) -> list[Writer]:
    """Two writers, each with its own connections and its own memory."""
    other = make_engine(database_url)
    with ExitStack() as stack:
        stack.callback(other.dispose)
        yield [stack.enter_context(serving(engine)), stack.enter_context(serving(other))]


def spray(replicas: list[Writer], pushes: list[FramePush], seed: int) -> list[str]:
    """Send every frame to both replicas at once, each in an order of its own."""

    def send(index: int) -> list[str]:
        order = list(pushes)
        chance = random.Random(seed + index)
        for place in range(len(order) - 1):  # nearly in order, as retries and threads make it
            if chance.random() < 0.3:
                order[place], order[place + 1] = order[place + 1], order[place]
        return [answer(replicas[index], push).status for push in order]

    with ThreadPoolExecutor(len(replicas)) as pool:
        return [status for found in pool.map(send, range(len(replicas))) for status in found]


def test_frames_sprayed_over_two_replicas_are_stored_once_and_judged_as_by_one(
    engine: Engine, replicas: list[Writer]
) -> None:
    run_id, alone = create_run(engine), create_run(engine)
    ends = range(4, 120, 4)
    pushes = [
        push
        for turn in zip(
            *(cut(run_id, exploding(n), ends, w) for n, w in enumerate(RANKS)), strict=True
        )
        for push in turn
    ]
    statuses = spray(replicas, pushes, seed=5)
    assert (statuses.count("stored"), statuses.count("duplicate")) == (len(pushes), len(pushes))
    stored = rows(engine, tables.frames, run_id, "writer", "seq", "ordinal")
    assert stored == [(rank, seq, seq * 4) for rank in RANKS for seq in range(30)]
    for n, rank in enumerate(RANKS):
        for push in cut(alone, exploding(n), ends, rank):
            answer(replicas[0], push)
    found, expected = verdict(engine, run_id), verdict(engine, alone)
    for part in ("transitions", "writers", "run"):
        assert found[part] == expected[part]
    assert found["alerts"].keys() == expected["alerts"].keys()


def test_a_stream_that_moves_between_replicas_is_caught_up(
    engine: Engine, replicas: list[Writer]
) -> None:
    run_id = create_run(engine)
    for seq in range(12):
        receipt = answer(replicas[seq // 2 % 2], simple_push(run_id, seq))
        assert (receipt.status, receipt.contiguous_through) == ("stored", seq)
    assert rows(engine, tables.writers, run_id, "next_seq", "ordinal") == [(12, 12)]


def test_a_gap_seen_by_one_replica_is_filled_by_the_other(
    engine: Engine, replicas: list[Writer]
) -> None:
    run_id = create_run(engine)
    answer(replicas[0], simple_push(run_id, 1))
    answer(replicas[0], simple_push(run_id, 2))
    assert answer(replicas[1], simple_push(run_id, 0)).contiguous_through == 2
    assert answer(replicas[0], simple_push(run_id, 3)).contiguous_through == 3
    ordinals = rows(engine, tables.frames, run_id, "seq", "ordinal")
    assert ordinals == [(seq, seq) for seq in range(4)]


def test_the_same_steps_sent_to_both_replicas_are_stored_once(
    engine: Engine, replicas: list[Writer]
) -> None:
    run_id = create_run(engine)
    accepted = 0
    for first in range(0, 40, 4):
        pending = [one.submit(steps_push(run_id, range(first, first + 4))) for one in replicas]
        accepted += sum(one.result(60).accepted for one in pending)
    assert accepted == 40
    counted = rows(engine, tables.frames, run_id, "reports")
    assert sum(count for (count,) in counted) == 40


def test_two_replicas_create_the_same_run_once(engine: Engine, replicas: list[Writer]) -> None:
    for _ in range(10):
        request = launches.RunRequest(uuid.uuid4(), "p", launch_id="one")
        pending = [
            replica.run(lambda c, r=request: launches.create_or_resume_run(c, r, NOW))
            for replica in replicas
        ]
        assert sorted(created for _, created in (one.result(60) for one in pending)) == [
            False,
            True,
        ]
        assert rows(engine, tables.attempts, request.id, "number") == [(1,)]
