"""Several ranks of a run: compared in its transactions, whatever order and process they come by."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.diagnose.ranks import KEPT, Ranks
from gradwatch_service.domain import Frame
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.pushes import FramePush
from gradwatch_service.ingest.writer import Limits, Writer
from gradwatch_service.store import tables
from gradwatch_service.store.database import make_engine
from tests.databases import POSTGRES
from tests.ranks import frames, replicas, struck, uneven
from tests.service.ingest.rig import (
    answer,
    create_run,
    frame_push,
    make_frame,
    rows,
    serving,
    simple_push,
    verdict,
)
from tests.service.ingest.shuffling import anonymous, ingest, shuffled

N = 120
NAMES = ("r0", "r1", "r2", "r3")
CAUSE = "hardware-or-rank"
RANKS = "service/ranks"
_on_a_shared_database = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@cache
def story() -> Mapping[str, Frame]:
    """Rank 2 is out of line from 20 to 70, and from 80 on rank 1 has weights of its own."""
    local = struck(uneven(N), 2, slice(20, 70), 16.0)
    norms = frames(struck(replicas(N), 1, slice(80, None), 1.0003))
    return {
        name: replace(one, scalars={**one.scalars, "local_grad_norm": local[:, rank].copy()})
        for rank, (name, one) in enumerate(norms.items())
    }


def cut(run_id: uuid.UUID, name: str, frame: Frame, ends: Sequence[int]) -> list[FramePush]:
    edges = [0, *sorted(ends), len(frame)]
    parts = [
        Frame(
            steps=frame.steps[first:last],
            time=frame.time[first:last],
            scalars={key: values[first:last] for key, values in frame.scalars.items()},
        )
        for first, last in pairwise(edges)
    ]
    return [frame_push(run_id, seq, part, name) for seq, part in enumerate(parts)]


def pushes(
    run_id: uuid.UUID, ends: Mapping[str, Sequence[int]], told: Mapping[str, Frame] | None = None
) -> dict[str, list[FramePush]]:
    chosen = story() if told is None else told
    return {name: cut(run_id, name, frame, ends.get(name, ())) for name, frame in chosen.items()}


def in_turn(queues: Mapping[str, list[FramePush]]) -> list[FramePush]:
    longest = max(map(len, queues.values()))
    return [queue[n] for n in range(longest) for queue in queues.values() if n < len(queue)]


def alert_of(engine: Engine, run_id: uuid.UUID) -> dict[str, Any]:
    return dict(verdict(engine, run_id)["alerts"][CAUSE])


def transitions(engine: Engine, run_id: uuid.UUID) -> list[tuple[str, int]]:
    found = rows(engine, tables.alert_events, run_id, "number", "writer", "kind", "step")
    return [(kind, step) for _, writer, kind, step in found if writer == RANKS]


def test_the_push_that_completes_the_step_brings_the_alert(engine: Engine) -> None:
    run_id = create_run(engine)
    tens = {name: range(10, N, 10) for name in NAMES}
    with serving(engine) as writer:
        receipts = [answer(writer, push) for push in in_turn(pushes(run_id, tens))]
    first = next(n for n, receipt in enumerate(receipts) if receipt.alerts)
    assert first == 4 * 2 + 3  # rank 3 reports the steps 20 to 29: the eighth far away is 27
    (alert,) = receipts[first].alerts
    assert (alert["cause"], alert["rule"], alert["severity"]) == (CAUSE, "rank-outlier", "error")
    assert (alert["layers"], alert["writers"]) == (["r2"], [RANKS])
    assert (alert["evidence"][1]["name"], alert["evidence"][1]["value"]) == ("rank", 2.0)
    assert [suspect["cause"] for suspect in alert["causes"]] == [CAUSE]
    assert {advice["severity"] for advice in (*alert["advice"], *receipts[first].advice)} == {
        "error"
    }
    assert receipts[first].health == "critical"
    assert alert_of(engine, run_id)["severity"] == "critical"
    assert transitions(engine, run_id) == [("firing", 27), ("worsened", 81)]
    assert rows(engine, tables.writers, run_id, "writer") == [(name,) for name in NAMES]


@_on_a_shared_database
@given(
    ends=st.tuples(*[st.sets(st.integers(1, N - 1), max_size=12)] * 4),
    group=st.integers(1, 40),
    lives=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_cutting_grouping_order_and_restarts_change_nothing(
    engine: Engine, ends: Sequence[set[int]], group: int, lives: int, seed: int
) -> None:
    plain, run_id = create_run(engine), create_run(engine)
    ingest(engine, in_turn(pushes(plain, {})), 1, 1)
    cuts = {name: sorted(end) for name, end in zip(NAMES, ends, strict=True)}
    ingest(engine, shuffled(pushes(run_id, cuts), seed), group, lives)
    expected = anonymous(engine, plain)
    assert expected["alerts"][CAUSE]["state"] == "firing"
    assert len([one for one in expected["transitions"] if one[0] == RANKS]) == 2
    assert anonymous(engine, run_id) == expected


@pytest.mark.parametrize("lives", [1, 8])
def test_one_rank_after_the_other_is_the_same(engine: Engine, lives: int) -> None:
    plain, run_id = create_run(engine), create_run(engine)
    ingest(engine, in_turn(pushes(plain, {})), 1, 1)
    tens = {name: range(10, N, 10) for name in NAMES}
    queues = pushes(run_id, tens)
    ingest(engine, [push for name in reversed(NAMES) for push in queues[name]], 3, lives)
    assert anonymous(engine, run_id) == anonymous(engine, plain)


def test_a_rank_that_was_left_far_behind_is_done_justice_when_it_catches_up(
    engine: Engine,
) -> None:
    length = 3 * KEPT + 100
    told = frames(struck(replicas(length, 2), 1, slice(200, None), 1.0003))
    plain, run_id = create_run(engine), create_run(engine)
    ends = {name: range(500, length, 500) for name in told}
    ingest(engine, in_turn(pushes(plain, ends, told)), 1, 1)
    queues = pushes(run_id, ends, told)
    ingest(engine, [push for name in told for push in queues[name]], 1, 1)
    assert anonymous(engine, run_id) == anonymous(engine, plain)
    assert transitions(engine, run_id) == [("firing", 201)]


def test_a_restart_tells_nothing_twice(engine: Engine) -> None:
    run_id = create_run(engine)
    queue = in_turn(pushes(run_id, {name: [90, 100] for name in NAMES}))
    with serving(engine) as writer:
        for push in queue[:8]:
            answer(writer, push)
    before = rows(engine, tables.alert_events, run_id, "writer", "number", "at")
    with serving(engine) as writer:
        for push in queue[8:]:
            answer(writer, push)
    assert rows(engine, tables.alert_events, run_id, "writer", "number", "at") == before
    assert alert_of(engine, run_id)["last_step"] == N - 1


def test_comparing_that_stumbles_costs_no_data_and_is_taken_up_again(engine: Engine) -> None:
    def stumble(ranks: Ranks) -> Ranks:
        if ranks.newest("r0") > 80:
            raise ZeroDivisionError("a rank rule stumbled")
        return ranks.caught_up()

    run_id = create_run(engine)
    tens = {name: range(10, N, 10) for name in NAMES}
    with serving(engine, fold=Fold(compare=stumble)) as writer:
        receipts = [answer(writer, push) for push in in_turn(pushes(run_id, tens))]
    assert {receipt.status for receipt in receipts} == {"stored"}
    ((degraded,),) = rows(engine, tables.runs, run_id, "degraded")
    assert degraded == "ZeroDivisionError('a rank rule stumbled')"
    assert transitions(engine, run_id) == [("firing", 27)]
    assert len(rows(engine, tables.frames, run_id, "seq")) == 48


def test_what_a_missing_rank_refutes_is_resolved_and_its_history_told_anew(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    norms = struck(replicas(60, 3), 1, slice(40, None), 1.01)
    norms[:, 2] = uneven(60)[:, 2]
    queues = pushes(run_id, {}, frames(norms))
    states = [
        [one["state"] for one in answer(writer, queues[name][0]).alerts]
        for name in ("r0", "r1", "r2")
    ]
    assert states == [[], ["firing"], ["resolved"]]
    assert transitions(engine, run_id) == []
    assert rows(engine, tables.runs, run_id, "health", "open_alerts") == [("ok", 0)]


def test_a_run_of_one_writer_is_not_compared(engine: Engine) -> None:
    def never(_: Ranks) -> Ranks:
        raise AssertionError("one rank was compared")

    run_id = create_run(engine)
    with serving(engine, fold=Fold(compare=never)) as writer:
        for seq in range(3):
            answer(writer, simple_push(run_id, seq))
        answer(writer, frame_push(run_id, 0, replace(make_frame([]), events=({"kind": "x"},)), "v"))
    assert rows(engine, tables.runs, run_id, "degraded") == [(None,)]


def test_a_new_launch_is_compared_anew(engine: Engine) -> None:
    run_id = create_run(engine, launch_id="first")
    with serving(engine) as writer:
        for push in in_turn(pushes(run_id, {})):
            answer(writer, push)
        assert alert_of(engine, run_id)["state"] == "firing"
        create_run(engine, id=run_id, launch_id="second", resume_step=40)
        told = {f"{name}-again": frame for name, frame in frames(replicas(60)).items()}
        for push in in_turn(pushes(run_id, {}, told)):
            last = answer(writer, push)
    assert (last.health, alert_of(engine, run_id)["state"]) == ("ok", "resolved")
    assert transitions(engine, run_id) == [("firing", 27), ("worsened", 81)]


@pytest.fixture
def processes(engine: Engine, database_url: str) -> Iterator[list[Writer]]:
    other = make_engine(database_url)
    with ExitStack() as stack:
        stack.callback(other.dispose)
        yield [stack.enter_context(serving(engine)), stack.enter_context(serving(other))]


@pytest.mark.parametrize("backend", [POSTGRES])
@pytest.mark.parametrize("seed", range(3))
def test_ranks_that_report_to_different_processes_are_compared_all_the_same(
    engine: Engine, processes: list[Writer], seed: int
) -> None:
    plain, run_id = create_run(engine), create_run(engine)
    ingest(engine, in_turn(pushes(plain, {})), 1, 1)
    chance = random.Random(seed)
    cuts = {name: sorted(chance.sample(range(1, N), 10)) for name in NAMES}
    pending = [
        processes[chance.randrange(2)].submit(push) for push in shuffled(pushes(run_id, cuts), seed)
    ]
    assert {one.result(60).status for one in pending} == {"stored"}
    assert anonymous(engine, run_id) == anonymous(engine, plain)


def test_few_streams_in_memory_are_enough(engine: Engine) -> None:
    plain, run_id = create_run(engine), create_run(engine)
    ingest(engine, in_turn(pushes(plain, {})), 1, 1)
    with serving(engine, limits=Limits(stream_bytes_in_memory=1)) as writer:
        for push in in_turn(pushes(run_id, {name: [30, 60, 90] for name in NAMES})):
            answer(writer, push)
    assert anonymous(engine, run_id) == anonymous(engine, plain)
