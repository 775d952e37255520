"""After a restart no more is folded again than what came after the newest checkpoint."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection, Engine, update

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.pushes import Judgement
from gradwatch_service.ingest.writer import Limits
from gradwatch_service.store import checkpoint, detector_states, launches, runs, tables
from tests.service.ingest.rig import DEADLINE, NOW, answer, frame_push, serving
from tests.service.ingest.test_judgement import new_run, told
from tests.streams import MLP, level, training

REPORTS, EACH, LEFT = 1_140, 20, 1_100
RUN = training(REPORTS).scaled(level(REPORTS, 1_110, 8.0, 20))
WHOLE = replace(RUN.frame, layers_hash=MLP.hash)


class Noting:
    """The real fold, which notes how many reports it has taken."""

    def __init__(self) -> None:
        self.reports = 0
        self.fold = Fold(update=self._update)

    def _update(
        self, state: WriterState, frame: Frame, layers: LayerTable
    ) -> tuple[WriterState, Outcome]:
        self.reports += len(frame)
        return fold.update(state, frame, layers)


def push(engine: Engine, run_id: uuid.UUID, first: int, last: int, **options: object) -> int:
    """Push these reports to a process of its own; returns how many were folded."""
    noting = Noting()
    with serving(engine, fold=noting.fold, **options) as writer:
        for start in range(first, last, EACH):
            answer(writer, frame_push(run_id, start // EACH, WHOLE.rows(start, start + EACH)))
        writer.submit(Judgement(run_id)).result(DEADLINE)
    return noting.reports


def undisturbed(engine: Engine) -> str:
    """The verdict on a run that one process judged without a break."""
    run_id = new_run(engine)
    with serving(engine) as writer:
        for seq, rows in enumerate([(0, 600), (600, REPORTS)]):
            answer(writer, frame_push(run_id, seq, WHOLE.rows(*rows)))
    return told(engine, run_id)


def newest(engine: Engine, run_id: uuid.UUID) -> detector_states.Checkpoint | None:
    with engine.connect() as connection:
        return detector_states.find(connection, run_id, "w0")


def test_only_what_came_after_the_checkpoint_is_folded_again(engine: Engine) -> None:
    run_id = new_run(engine)
    assert push(engine, run_id, 0, LEFT) == LEFT
    found = newest(engine, run_id)
    assert found is not None
    assert 1_024 <= found.ordinal < LEFT
    assert push(engine, run_id, LEFT, REPORTS) == REPORTS - found.ordinal
    assert told(engine, run_id) == undisturbed(engine)


@pytest.mark.parametrize(
    "damage",
    [lambda body: body[:0], lambda body: body[:-1], lambda body: bytes(32) + body[32:]],
    ids=["empty", "cut short", "of other code"],
)
def test_without_a_good_checkpoint_all_is_folded_again(
    engine: Engine, damage: Callable[[bytes], bytes]
) -> None:
    run_id = new_run(engine)
    push(engine, run_id, 0, LEFT)
    found = newest(engine, run_id)
    assert found is not None
    assert checkpoint.unpack(found.body) is not None
    with engine.begin() as connection:
        connection.execute(update(tables.detector_states).values(body=damage(found.body)))
    assert push(engine, run_id, LEFT, REPORTS) == REPORTS
    assert told(engine, run_id) == undisturbed(engine)


def test_a_stream_that_memory_has_no_room_for_goes_on_from_a_checkpoint(engine: Engine) -> None:
    run_id, other = new_run(engine), new_run(engine)
    noting, limits = Noting(), Limits(stream_bytes_in_memory=1)
    with serving(engine, fold=noting.fold, limits=limits) as writer:
        answer(writer, frame_push(run_id, 0, WHOLE.rows(0, 100)))
        assert newest(engine, run_id) is None
        answer(writer, frame_push(other, 0, WHOLE.rows(0, 40)))
        writer.run(Connection.get_transaction).result(DEADLINE)
        found = newest(engine, run_id)
        assert found is not None
        assert (found.ordinal, found.seq) == (100, 1)
        answer(writer, frame_push(run_id, 1, WHOLE.rows(100, 1_000)))
        answer(writer, frame_push(run_id, 2, WHOLE.rows(1_000, REPORTS)))
        writer.run(Connection.get_transaction).result(DEADLINE)
        assert noting.reports == REPORTS + 40
    assert newest(engine, other) is None  # not worth keeping
    assert told(engine, run_id) == undisturbed(engine)


def test_a_run_created_anew_does_not_begin_at_its_namesakes_checkpoint(engine: Engine) -> None:
    run_id = new_run(engine)
    push(engine, run_id, 0, LEFT)
    with engine.begin() as connection:
        runs.delete_run(connection, run_id)
        wanted = launches.RunRequest(id=run_id, project="p", layers=MLP)
        launches.create_or_resume_run(connection, wanted, NOW.replace(hour=13))
    assert push(engine, run_id, 0, REPORTS) == REPORTS
    assert told(engine, run_id) == undisturbed(engine)
