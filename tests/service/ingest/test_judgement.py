"""What is stored and waits to be judged: it is judged by the block, in time, by whoever comes."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import pytest
from sqlalchemy import Engine

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import Facts, Frame, LayerTable
from gradwatch_service.ingest.docket import Docket
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.frame_path import place_frame
from gradwatch_service.ingest.group import Group
from gradwatch_service.ingest.judge import OwnJudge
from gradwatch_service.ingest.judgement_path import place_judgement
from gradwatch_service.ingest.pushes import FramePush, Judgement, Push, Verdict
from gradwatch_service.ingest.settlement import settle
from gradwatch_service.ingest.sources import Memory, Sources
from gradwatch_service.ingest.verdict_path import place_verdict
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import tables
from gradwatch_service.store.database import for_writing
from tests.service.ingest.rig import (
    DEADLINE,
    NOW,
    answer,
    create_run,
    events_push,
    frame_push,
    rows,
    serving,
    verdict,
)
from tests.streams import MLP, training

REPORTS = 150
RUN = training(REPORTS)
WHOLE = Frame(**{**vars(RUN.frame), "layers_hash": MLP.hash})


class Process:
    """A process that stores pushes, and never finds the time to judge what may wait."""

    def __init__(self, engine: Engine, fold_: Fold | None = None) -> None:
        self._engine, self._memory = for_writing(engine), Memory(2**20)
        self._fold = fold_ or Fold()
        self._judge = OwnJudge(self._fold)
        self.verdicts: list[Verdict] = []
        self._docket = Docket(self._judge, self._memory, self._take_back)

    def push(self, *pushes: FramePush, late: bool = False) -> list[frozenset[str]]:
        """The causes each is told of; what is found in full blocks is taken over, or late."""
        with self._group(*pushes) as group:
            placed = [place_frame(group, push) for push in pushes]
        self._docket.note(group.streams)
        self._docket.hand_out()
        while self.verdicts and not late:
            self.take_over(self.verdicts.pop())
        return [group.told_to(one) for one in placed]

    def take_over(self, verdict: Verdict) -> None:
        """What the judge has found."""
        self._docket.returned(verdict)
        with self._group(verdict) as group:
            place_verdict(group, verdict)

    def judge(self, run_id: uuid.UUID) -> None:
        """Judge all that waits."""
        wanted = Judgement(run_id)
        with self._group(wanted) as group:
            place_judgement(group, wanted)

    def _take_back(self, work: object) -> None:
        assert isinstance(work, Verdict)
        self.verdicts.append(work)

    @contextmanager
    def _group(self, *pushes: Push) -> Iterator[Group]:
        """One transaction. What another process did meanwhile is looked up first."""
        with self._engine.connect() as connection:
            sources = Sources(connection, self._memory, self._fold, self._judge, verify=True)
            group = Group(sources, pushes, NOW)
            yield group
            assert settle(group)
            connection.commit()
        group.install(self._memory)


def pushes(run_id: uuid.UUID, whole: Frame = WHOLE, writer: str = "w0") -> list[FramePush]:
    """Every report by itself."""
    return [frame_push(run_id, i, whole.rows(i, i + 1), writer) for i in range(len(whole))]


def new_run(engine: Engine) -> uuid.UUID:
    return create_run(engine, layers=MLP)


def judged(engine: Engine, run_id: uuid.UUID) -> list[tuple[int, int]]:
    """Of each writer: reports judged, and reports stored."""
    return rows(engine, tables.writers, run_id, "ordinal", "reports")


def spiked(*at: int) -> Frame:
    """Gradients a thousand times as large in these reports."""
    factor = np.ones(REPORTS)
    factor[list(at)] = 1e3
    frame = RUN.scaled(factor).frame
    return Frame(**{**vars(frame), "layers_hash": MLP.hash})


def by_one_writer(engine: Engine, whole: Frame) -> str:
    """The verdict on a run whose reports one writer took in a single frame."""
    run_id = new_run(engine)
    with serving(engine) as writer:
        answer(writer, frame_push(run_id, 0, whole))
    return told(engine, run_id)


def told(engine: Engine, run_id: uuid.UUID) -> str:
    """The verdict on a run, without what names it."""
    found = verdict(engine, run_id)
    alerts = cast(Mapping[str, object], found["alerts"])
    text = repr({**found, "alerts": sorted(alerts.items())})
    return re.sub("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", text)


def test_reports_as_usual_are_judged_when_their_block_of_16_is_full(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    seen = []
    for push in pushes(run_id)[:100]:
        process.push(push)
        seen.append(judged(engine, run_id)[0])
    assert seen[:64] == [(count, count) for count in range(1, 65)]
    assert seen[64:] == [(count // 16 * 16, count) for count in range(65, 101)]


def test_frames_may_straddle_the_end_of_a_block(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    process.push(frame_push(run_id, 0, WHOLE.rows(0, 70)))
    for seq, first in enumerate(range(70, 150, 10), 1):
        process.push(frame_push(run_id, seq, WHOLE.rows(first, first + 10)))
        assert judged(engine, run_id) == [(max((first + 10) // 16 * 16, 70), first + 10)]


def test_a_report_that_is_not_as_usual_has_all_judged_at_once(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    every = pushes(run_id, spiked(138))
    for push in every[:138]:
        process.push(push)
    assert judged(engine, run_id) == [(128, 138)]
    (told_of,) = process.push(every[138])
    assert told_of
    assert judged(engine, run_id) == [(139, 139)]


@pytest.mark.parametrize("left", [65, 77, 139, 150])
def test_what_a_process_left_is_judged_by_the_next(engine: Engine, left: int) -> None:
    whole = spiked(100, 138, 139)
    run_id, process = new_run(engine), Process(engine)
    for push in pushes(run_id, whole)[:left]:
        process.push(push)
    with serving(engine) as writer:
        for push in pushes(run_id, whole)[left:]:
            answer(writer, push)
        writer.submit(Judgement(run_id)).result(DEADLINE)
    assert judged(engine, run_id) == [(REPORTS, REPORTS)]
    assert told(engine, run_id) == by_one_writer(engine, whole)


def test_processes_that_take_turns_judge_as_one(engine: Engine) -> None:
    whole = spiked(100, 138, 139)
    run_id, both = new_run(engine), (Process(engine), Process(engine))
    for place, push in enumerate(pushes(run_id, whole)):
        both[place // 7 % 2].push(push)
    both[0].judge(run_id)
    assert told(engine, run_id) == by_one_writer(engine, whole)


def test_there_is_time_once_nothing_comes(engine: Engine) -> None:
    run_id = new_run(engine)
    with serving(engine) as writer:
        for push in pushes(run_id):
            answer(writer, push)
        deadline = time.monotonic() + DEADLINE
        while judged(engine, run_id) != [(REPORTS, REPORTS)] and time.monotonic() < deadline:
            time.sleep(0.002)
        assert judged(engine, run_id) == [(REPORTS, REPORTS)]


def test_who_asks_gets_all_judged(engine: Engine) -> None:
    run_id = new_run(engine)
    with serving(engine) as writer:
        for push in pushes(run_id):
            writer.submit(push)
        answer(writer, pushes(run_id)[-1])
        writer.judge(run_id).result(DEADLINE)
        assert judged(engine, run_id) == [(REPORTS, REPORTS)]
        writer.judge(uuid.uuid4()).result(DEADLINE)  # nothing waits: nothing to do


def test_a_push_to_another_stream_does_not_make_what_waits_forgotten(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    for push in pushes(run_id)[:70]:
        process.push(push)
    writer = Writer(engine, clock=lambda: NOW, left=[run_id])
    note = writer.submit(events_push(run_id, {"kind": "note", "step": 1}))
    writer.start()
    note.result(DEADLINE)
    writer.judge(run_id).result(DEADLINE)
    assert judged(engine, run_id)[-1] == (70, 70)
    writer.stop()


def test_what_an_earlier_process_left_is_judged_without_a_push(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    for push in pushes(run_id)[:70]:
        process.push(push)
    with serving(engine, left=[run_id]) as writer:
        writer.judge(run_id).result(DEADLINE)
        assert judged(engine, run_id) == [(70, 70)]


def test_the_next_push_is_told_what_was_found_in_between(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine, Fold(update=_finding))
    every = pushes(run_id)
    for push in every[:101]:
        assert process.push(push) == [frozenset()]
    process.judge(run_id)
    assert process.push(every[101]) == [{"learning-rate-too-high"}]
    assert process.push(every[102]) == [frozenset()]


def _finding(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    """An alert in report 100, as a rule that looks at trends would raise it."""
    state, outcome = fold.update(state, frame, layers)
    if 100 not in _steps(frame):
        return state, outcome
    _, found = fold.update(fold.init(MLP, Facts()), spiked(138), MLP)
    part = next(part for part in found.parts if part.cause == "learning-rate-too-high")
    return state, Outcome((part,))


def test_reports_of_several_ranks_do_not_wait(engine: Engine) -> None:
    run_id, process = new_run(engine), Process(engine)
    pairs = zip(pushes(run_id), pushes(run_id, writer="w1"), strict=True)
    for pair in pairs:
        process.push(*pair)
    assert judged(engine, run_id) == [(REPORTS, REPORTS)] * 2


def test_a_frame_that_cannot_be_judged_is_left_out_and_its_neighbours_are_not(
    engine: Engine,
) -> None:
    run_id = new_run(engine)
    process = Process(engine, Fold(update=_stumbling))
    for push in pushes(run_id):
        process.push(push)
    places = rows(engine, tables.frames, run_id, "seq", "ordinal")
    assert [seq for seq, place in places if place is None] == [100]
    assert judged(engine, run_id) == [(145, REPORTS)]  # 144, and the one left out
    process.judge(run_id)
    assert judged(engine, run_id) == [(REPORTS, REPORTS)]


def _stumbling(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    if 100 in _steps(frame):
        raise ZeroDivisionError("a rule stumbled")
    return fold.update(state, frame, layers)


def _steps(frame: Frame) -> Sequence[int]:
    return [int(step) for step in frame.steps]
