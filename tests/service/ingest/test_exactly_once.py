"""Whatever clients repeat, delay, send at once or change, each frame is stored exactly once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gradwatch_service.errors import Conflict
from gradwatch_service.ingest.writer import Limits, Writer
from gradwatch_service.store import tables
from tests.service.ingest.rig import (
    DEADLINE,
    answer,
    create_run,
    rows,
    serving,
    simple_push,
    steps_push,
)

_on_a_shared_database = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WRITERS = st.sampled_from(["a", "b"])
LIVES = st.lists(
    st.lists(st.tuples(WRITERS, st.integers(0, 12), st.sampled_from([1.0, 2.0])), max_size=30),
    min_size=1,
    max_size=4,
)


def expected(
    sent: Sequence[tuple[str, int, float]],
) -> tuple[list[str], dict[tuple[str, int], float]]:
    """What a dictionary would answer, and what it would hold."""
    held: dict[tuple[str, int], float] = {}
    answers = []
    for writer, seq, loss in sent:
        first = held.setdefault((writer, seq), loss)
        is_new = len(held) > len(answers) - answers.count("duplicate") - answers.count("conflict")
        answers.append("stored" if is_new else "duplicate" if first == loss else "conflict")
    return answers, held


@_on_a_shared_database
@given(lives=LIVES, group=st.integers(1, 10))
def test_a_run_holds_what_a_dictionary_would(
    engine: Engine, lives: list[list[tuple[str, int, float]]], group: int
) -> None:
    run_id = create_run(engine)
    answers: list[str] = []
    for sent in lives:
        writer = Writer(engine, limits=Limits(jobs_in_group=group))
        pending = [writer.submit(simple_push(run_id, seq, name, loss)) for name, seq, loss in sent]
        writer.start()
        for one in pending:
            error = one.exception(DEADLINE)
            answers.append("conflict" if isinstance(error, Conflict) else one.result(0).status)
        writer.stop()
    wanted, held = expected([push for sent in lives for push in sent])
    assert answers == wanted
    stored = rows(engine, tables.frames, run_id, "writer", "seq", "digest")
    assert stored == sorted(
        (name, seq, simple_push(run_id, seq, name, loss).digest)
        for (name, seq), loss in held.items()
    )


@_on_a_shared_database
@given(bodies=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6), max_size=12))
def test_the_simple_path_holds_each_step_once(engine: Engine, bodies: list[list[int]]) -> None:
    run_id = create_run(engine)
    writer = Writer(engine, limits=Limits(jobs_in_group=5))
    pending = [writer.submit(steps_push(run_id, steps)) for steps in bodies]
    writer.start()
    receipts = [one.result(DEADLINE) for one in pending]
    writer.stop()
    seen: set[int] = set()
    for steps, receipt in zip(bodies, receipts, strict=True):
        new = set(steps) - seen
        seen |= new
        assert (receipt.accepted, receipt.duplicates) == (len(new), len(steps) - len(new))
        assert receipt.status == ("stored" if new else "duplicate")
    counted = rows(engine, tables.frames, run_id, "reports")
    assert sum(count for (count,) in counted) == len(seen)


def test_eight_threads_that_send_the_same_frames_store_them_once(engine: Engine) -> None:
    run_id = create_run(engine)
    start = threading.Barrier(8)
    with serving(engine) as writer:

        def send(_: int) -> list[str]:
            start.wait(DEADLINE)
            return [answer(writer, simple_push(run_id, seq)).status for seq in range(50)]

        with ThreadPoolExecutor(8) as pool:
            statuses = [status for found in pool.map(send, range(8)) for status in found]
    assert (statuses.count("stored"), statuses.count("duplicate")) == (50, 350)
    assert rows(engine, tables.frames, run_id, "seq", "ordinal") == [(n, n) for n in range(50)]
