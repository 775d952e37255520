"""The judge's process: it may die at any time, ends with its parent, and keeps only what counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import Facts, Layer, LayerTable
from gradwatch_service.errors import Unavailable
from gradwatch_service.ingest.judge import Birth, JudgeLostError, Part, State, Task
from gradwatch_service.ingest.judge_process import ProcessJudge
from gradwatch_service.ingest.pushes import FramePush, Judgement, Receipt
from gradwatch_service.ingest.writer import Writer
from tests.servers import poll
from tests.service.ingest.rig import DEADLINE, serving
from tests.service.ingest.test_judgement import (
    REPORTS,
    by_one_writer,
    judged,
    new_run,
    pushes,
    spiked,
    told,
)
from tests.streams import MLP, training

RUN = training(100)
BIRTH = Birth(MLP, Facts())
WHOLE = Task(BIRTH, [Part(RUN.frame, MLP, (100,))])
PARENT = """
import sys
from gradwatch_service.ingest.judge_process import ProcessJudge
judge = ProcessJudge()
print("begun", flush=True)
sys.stdin.read()
"""


def processes_of(pid: int) -> list[int]:
    """Processes that a process has spawned to judge."""
    children: list[str] = []
    with suppress(OSError):  # it may be gone by now
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += (task / "children").read_text().split()
    return [int(child) for child in children if judges(int(child))]


def judges(pid: int) -> bool:
    """Whether it is there, and judges."""
    path = Path(f"/proc/{pid}/cmdline")
    try:
        return b"judge_process" in path.read_bytes()
    except OSError:
        return False


@pytest.fixture
def others() -> list[int]:
    """Judges of other tests."""
    return processes_of(os.getpid())


@pytest.fixture
def judge(others: list[int]) -> Iterator[ProcessJudge]:
    made = ProcessJudge()
    yield made
    made.close()
    assert processes_of(os.getpid()) == others


def pid_of(judge: ProcessJudge, others: list[int]) -> int:
    """Its process, once it answers."""
    assert judge.submit(Task(BIRTH, ())).answer.result(DEADLINE).ordinal == 0
    (pid,) = set(processes_of(os.getpid())) - set(others)
    return pid


def test_who_waits_for_one_that_is_killed_is_told_and_another_can_begin(
    judge: ProcessJudge, others: list[int]
) -> None:
    pid = pid_of(judge, others)
    os.kill(pid, signal.SIGSTOP)
    state, first = judge.submit(WHOLE)
    _, second = judge.submit(Task(state, WHOLE.parts))
    os.kill(pid, signal.SIGKILL)
    for answer in (first, second, judge.submit(WHOLE).answer, judge.submit(WHOLE).answer):
        assert isinstance(answer.exception(DEADLINE), JudgeLostError)
    assert judge.is_lost
    judge.renew()
    assert not judge.is_lost
    assert judge.submit(WHOLE).answer.result(DEADLINE).ordinal == 100


def test_nothing_is_left_unanswered_however_often_it_is_killed(
    judge: ProcessJudge, others: list[int]
) -> None:
    for _ in range(3):
        pid = pid_of(judge, others)
        killer = threading.Timer(0.02, os.kill, (pid, signal.SIGKILL))
        killer.start()
        answers = []
        while not judge.is_lost:
            answers.append(judge.submit(WHOLE).answer)
            answers[-1 - min(len(answers) - 1, 3)].exception(DEADLINE)  # some are under way
        found = [answer.exception(DEADLINE) for answer in answers]
        assert {type(error) for error in found} <= {type(None), JudgeLostError}
        killer.join()
        judge.renew()


def test_an_interrupt_from_the_keyboard_does_not_end_it(
    judge: ProcessJudge, others: list[int]
) -> None:
    os.kill(pid_of(judge, others), signal.SIGINT)
    assert judge.submit(WHOLE).answer.result(DEADLINE).ordinal == 100
    assert not judge.is_lost


def test_what_is_under_way_is_answered_before_it_closes() -> None:
    judge = ProcessJudge()
    answers = [judge.submit(WHOLE).answer for _ in range(5)]
    judge.close()
    assert [answer.result(0).ordinal for answer in answers] == [100] * 5
    assert isinstance(judge.submit(WHOLE).answer.exception(0), JudgeLostError)


def test_what_cannot_be_sent_has_no_answer_and_disturbs_nobody_elses(judge: ProcessJudge) -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    before = judge.submit(WHOLE).answer
    with pytest.raises(RecursionError):
        judge.submit(Task(Birth(MLP, Facts(extra={"value": deep})), ()))  # type: ignore[dict-item]
    after = judge.submit(Task(BIRTH, ())).answer
    assert (before.result(DEADLINE).ordinal, after.result(DEADLINE).ordinal) == (100, 0)


def test_a_bottomless_config_is_nothing_to_judge() -> None:
    deep: list[object] = []
    for _ in range(5_000):
        deep = [deep]
    facts = Facts.from_config({"eps": 1e-8, "value": deep})  # type: ignore[dict-item]
    assert facts == Facts(extra={"eps": 1e-8})


def test_states_that_nobody_knows_any_more_are_released(
    judge: ProcessJudge, others: list[int]
) -> None:
    """Each state here takes about a megabyte there; hundreds of them would be seen."""
    pid, wide = pid_of(judge, others), _many_layers()

    def grown_by(tasks: int, *, kept: int) -> int:
        known: deque[State] = deque(maxlen=kept)
        before = _resident_bytes(pid)
        for _ in range(tasks):
            state, answer = judge.submit(wide)
            answer.result(DEADLINE)
            known.append(state)
        return _resident_bytes(pid) - before

    grown_by(20, kept=1)
    forgotten = grown_by(60, kept=1)
    assert forgotten < grown_by(60, kept=60) / 3


def _many_layers() -> Task:
    wide = LayerTable(tuple(Layer(f"{i}") for i in range(1_000)))
    run = training(20, layers=wide)
    return Task(Birth(wide, Facts()), [Part(run.frame, wide, (20,))])


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_it_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"begun\n"
        (pid,) = processes_of(parent.pid)
        parent.kill()
    poll(lambda: not judges(pid), "the judge has ended")


def push_until_stored(writer: Writer, push: FramePush) -> Receipt:
    """As a client does: what is refused for now is sent again."""
    while True:
        try:
            return writer.submit(push).result(DEADLINE)
        except Unavailable:
            continue


def test_pushes_are_answered_and_judged_the_same_though_the_judge_is_killed(
    engine: Engine, others: list[int]
) -> None:
    whole = spiked(100, 138, 139)
    run_id, killed = new_run(engine), 0
    with serving(engine, judge=ProcessJudge()) as writer:
        for place, push in enumerate(pushes(run_id, whole)):
            assert push_until_stored(writer, push).status in {"stored", "duplicate"}
            if place % 30 == 29:
                killed += _kill(others)
        writer.submit(Judgement(run_id)).result(DEADLINE)
    assert killed == 5
    assert judged(engine, run_id) == [(REPORTS, REPORTS)]
    assert told(engine, run_id) == by_one_writer(engine, whole)


def _kill(others: list[int]) -> int:
    found = set(processes_of(os.getpid())) - set(others)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return len(found)
