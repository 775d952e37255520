"""One checkpoint a writer is kept, the one that was saved last."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from gradwatch_service.diagnose import fold
from gradwatch_service.domain import Facts
from gradwatch_service.store import checkpoint, detector_states
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.detector_states import Checkpoint
from tests.streams import training

RUN, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_writing(engine).begin() as opened:
        yield opened


def test_the_newest_checkpoint_of_a_writer_is_found(connection: Connection) -> None:
    rows = [
        Checkpoint(RUN, "a", 64, 7, b"first"),
        Checkpoint(RUN, "b", 2**40, 2**41, b"\0\xff"),
        Checkpoint(OTHER, "a", 0, 0, b""),
    ]
    detector_states.save(connection, rows)
    for row in rows:
        assert detector_states.find(connection, row.run_id, row.writer) == row
    newer = Checkpoint(RUN, "a", 128, 9, b"second")
    detector_states.save(connection, [newer])
    assert detector_states.find(connection, RUN, "a") == newer
    assert detector_states.find(connection, RUN, "b") == rows[1]


def test_a_writer_without_a_checkpoint_has_none(connection: Connection) -> None:
    detector_states.save(connection, [])
    assert detector_states.find(connection, RUN, "a") is None


def test_a_state_comes_back_from_the_database_as_it_was(engine: Engine) -> None:
    run = training(100)
    state, _ = fold.update(fold.init(run.layers, Facts()), run.frame, run.layers)
    body = checkpoint.pack(state)
    assert body is not None
    with for_writing(engine).begin() as connection:
        detector_states.save(connection, [Checkpoint(RUN, "a", state.ordinal, 1, body)])
    with engine.connect() as connection:
        found = detector_states.find(connection, RUN, "a")
    assert found is not None
    again = checkpoint.unpack(found.body)
    assert again is not None
    assert (again.ordinal, again.guard) == (found.ordinal, state.guard)
    assert checkpoint.pack(again) == body
