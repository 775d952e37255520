"""What is judged beside the writer may come late, or never: nothing is doubled, nobody waits."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from sqlalchemy import Connection, Engine

from gradwatch_service.domain import Facts
from gradwatch_service.errors import NotFound
from gradwatch_service.ingest import docket
from gradwatch_service.ingest.docket import PATIENCE
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.judge import Birth, JudgeLostError, OwnJudge
from gradwatch_service.ingest.judge_process import ProcessJudge
from gradwatch_service.ingest.pushes import FramePush, Judgement, Receipt
from gradwatch_service.ingest.sources import Memory
from gradwatch_service.ingest.stream import Stream
from gradwatch_service.ingest.writer import Limits, Writer
from gradwatch_service.store import detector_states, launches, runs
from tests.servers import poll
from tests.service.ingest.rig import DEADLINE, NOW, answer, frame_push, serving
from tests.service.ingest.test_judge_process import pid_of, processes_of
from tests.service.ingest.test_judgement import (
    REPORTS,
    WHOLE,
    Process,
    by_one_writer,
    judged,
    new_run,
    pushes,
    spiked,
    told,
)
from tests.streams import MLP, training

LONG = replace(training(240).frame, layers_hash=MLP.hash)
JUDGED = 64  # until then every report is judged at once


def test_a_verdict_that_comes_too_late_is_dropped_and_nothing_is_doubled(engine: Engine) -> None:
    whole = spiked(138, 139)
    run_id, process = new_run(engine), Process(engine)
    every = pushes(run_id, whole)
    for push in every[:138]:
        process.push(push, late=True)
    assert judged(engine, run_id) == [(64, 138)]
    process.push(every[138], late=True)
    assert judged(engine, run_id) == [(139, 139)]
    before = told(engine, run_id)
    assert process.verdicts
    for verdict in process.verdicts:
        process.take_over(verdict)
    assert told(engine, run_id) == before
    process.verdicts.clear()
    for push in every[139:]:
        process.push(push)
    process.judge(run_id)
    assert judged(engine, run_id) == [(REPORTS, REPORTS)]
    assert told(engine, run_id) == by_one_writer(engine, whole)


def test_verdicts_that_build_on_each_other_are_taken_over_one_by_one(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    for push in pushes(run_id)[:112]:
        process.push(push, late=True)
    assert [verdict.reports for verdict in process.verdicts] == [16, 16, 16]
    process.take_over(process.verdicts[1])  # not before the one it builds on
    seen = [judged(engine, run_id)[0][0]]
    for verdict in process.verdicts:
        process.take_over(verdict)
        seen.append(judged(engine, run_id)[0][0])
    assert seen == [64, 80, 96, 112]


def test_a_verdict_on_a_run_that_was_deleted_harms_nobody(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    for push in pushes(run_id)[:80]:
        process.push(push, late=True)
    (verdict,) = process.verdicts
    with engine.begin() as connection:
        runs.delete_run(connection, run_id)
    with pytest.raises(NotFound):
        process.take_over(verdict)
    _create(engine, run_id)
    process.take_over(verdict)
    assert judged(engine, run_id) == []
    process.verdicts.clear()
    for push in pushes(run_id):
        process.push(push)
    process.judge(run_id)
    assert told(engine, run_id) == by_one_writer(engine, WHOLE)


def _create(engine: Engine, run_id: uuid.UUID) -> None:
    wanted = launches.RunRequest(id=run_id, project="p", layers=MLP)
    with engine.begin() as connection:
        launches.create_or_resume_run(connection, wanted, NOW.replace(hour=13))


@pytest.mark.parametrize("error", [JudgeLostError("gone"), RuntimeError("a rule stumbled")])
def test_after_an_error_in_place_of_a_verdict_the_stream_goes_on(
    engine: Engine, error: Exception
) -> None:
    run_id, process = new_run(engine), Process(engine)
    every = pushes(run_id)
    for push in every[:80]:
        process.push(push, late=True)
    process.take_over(replace(process.verdicts.pop(), judged=error))
    assert judged(engine, run_id) == [(64, 80)]
    for push in every[80:]:
        process.push(push)
    assert judged(engine, run_id) == [(144, REPORTS)]


@dataclass
class Slow:
    """A writer with a judge that can be made to pause, as on a busy machine."""

    writer: Writer
    pid: int

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def held_up(self, run_id: uuid.UUID) -> tuple[list[Future[Receipt]], list[Future[Receipt]]]:
        """Pushes that are answered though the judge pauses, and those that wait for it."""
        answer(self.writer, frame_push(run_id, 0, LONG.rows(0, JUDGED)))
        self.pause()
        ends = [JUDGED, *range(JUDGED + 16, JUDGED + PATIENCE + 21)]  # a block to be under way
        every = [
            frame_push(run_id, seq, LONG.rows(*rows)) for seq, rows in enumerate(pairwise(ends), 1)
        ]
        soon, later = every[:-20], every[-20:]
        return [self._submit(push) for push in soon], [self._submit(push) for push in later]

    def _submit(self, push: FramePush) -> Future[Receipt]:
        """One after the other, so that they are not all in one group."""
        future = self.writer.submit(push)
        poll(lambda: not self._is_queued(future), "the writer has looked at it")
        return future

    def _is_queued(self, future: Future[Receipt]) -> bool:
        return not (future.running() or future.done())


@pytest.fixture
def slow(engine: Engine) -> Iterator[Slow]:
    others = processes_of(os.getpid())
    judge = ProcessJudge()
    pid = pid_of(judge, others)
    limits = Limits(stream_bytes_in_memory=1)  # what was used last stays in any case
    with serving(engine, judge=judge, limits=limits) as writer:
        yield Slow(writer, pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_who_pushes_much_to_one_stream_waits_for_the_judge(engine: Engine, slow: Slow) -> None:
    run_id = new_run(engine)
    soon, later = slow.held_up(run_id)
    assert [push.result(DEADLINE).status for push in soon] == ["stored"] * (PATIENCE - 15)
    assert judged(engine, run_id) == [(JUDGED, JUDGED + PATIENCE)]
    assert not any(push.done() for push in later)
    slow.resume()
    assert [push.result(DEADLINE).status for push in later] == ["stored"] * 20
    slow.writer.submit(Judgement(run_id)).result(DEADLINE)
    assert judged(engine, run_id) == [(212, 212)]


def test_who_is_held_goes_on_when_the_verdict_leaves_nothing_to_be_judged(
    engine: Engine, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docket, "MOST_TASKS", 1)
    monkeypatch.setattr(docket, "MOST_BYTES_DUE", 0)
    run_id = new_run(engine)
    answer(slow.writer, frame_push(run_id, 0, LONG.rows(0, JUDGED)))
    slow.pause()
    answer(slow.writer, frame_push(run_id, 1, LONG.rows(64, 80)))  # under way
    answer(slow.writer, frame_push(run_id, 2, LONG.rows(80, 81)))  # waits with it
    held = slow.writer.submit(frame_push(run_id, 3, LONG.rows(81, 82)))
    poll(held.running, "the writer has looked at it")
    slow.resume()
    assert held.result(DEADLINE).status == "stored"


@pytest.mark.parametrize(("many_bytes", "judged_at"), [(2**30, [16, 32, 48]), (-1, [32])])
def test_where_streams_are_many_blocks_are_judged_two_at_a_time(
    many_bytes: int, judged_at: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docket, "MANY_BYTES", many_bytes)
    memory, key, verdicts = Memory(2**20), (uuid.uuid4(), "w0"), []
    asked = docket.Docket(OwnJudge(Fold()), memory, verdicts.append)
    stream = Stream("w0", NOW, 0, MLP.hash, MLP, Birth(MLP, Facts()))
    memory.streams.put(key, stream, stream.weight)
    for seq in range(48):
        stream.append(seq, LONG.rows(seq, seq + 1), MLP)
        asked.note([(key, stream)])
        asked.hand_out()
        for verdict in verdicts:
            stream.take(verdict.reports, verdict.judged)
            asked.returned(verdict)
            assert stream.judged == judged_at.pop(0) == seq + 1
        verdicts.clear()
    assert judged_at == []


def test_who_waits_for_the_judge_is_answered_when_the_writer_stops(
    engine: Engine, slow: Slow
) -> None:
    run_id = new_run(engine)
    _, later = slow.held_up(run_id)
    stopping = threading.Thread(target=slow.writer.stop)
    stopping.start()
    slow.resume()
    stopping.join(DEADLINE)
    assert [push.result(0).status for push in later] == ["stored"] * 20
    assert judged(engine, run_id) == [(212, 212)]


def test_who_waits_for_a_judge_that_dies_is_answered(engine: Engine, slow: Slow) -> None:
    run_id = new_run(engine)
    _, later = slow.held_up(run_id)
    os.kill(slow.pid, signal.SIGKILL)
    assert [push.result(DEADLINE).status for push in later] == ["stored"] * 20
    slow.writer.submit(Judgement(run_id)).result(DEADLINE)
    assert judged(engine, run_id) == [(212, 212)]


def test_the_state_of_a_run_deleted_meanwhile_is_not_its_namesakes(
    engine: Engine, slow: Slow
) -> None:
    run_id, other = new_run(engine), new_run(engine)
    for push in pushes(run_id)[:100]:
        answer(slow.writer, push)
    slow.writer.submit(Judgement(run_id)).result(DEADLINE)
    slow.pause()
    answer(slow.writer, pushes(other)[5])  # not to be judged before the first; no room for both
    slow.writer.run(lambda connection: runs.delete_run(connection, run_id)).result(DEADLINE)
    _create(engine, run_id)
    slow.resume()
    answer(slow.writer, pushes(other)[0])  # judged behind it
    slow.writer.run(Connection.get_transaction).result(DEADLINE)
    with engine.connect() as connection:
        assert detector_states.find(connection, run_id, "w0") is None
