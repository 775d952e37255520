"""What the job says without steps: in the log of the simple path, once, and read by the fold."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from sqlalchemy import Engine

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.domain import Frame, Guard, LayerTable
from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import events, runs, tables, writers
from tests.service.ingest.rig import (
    NOW,
    answer,
    create_run,
    events_push,
    rows,
    serving,
    simple_push,
    steps_push,
)

CHECKPOINT = {"kind": "checkpoint", "step": 2, "path": "/x"}
ADVICE = {"kind": "advice", "step": 3, "id": "1", "action": "clip_grad_norm", "status": "applied"}


class Heard:
    """The real fold, which writes down the events it is told and the steps it is shown."""

    def __init__(self) -> None:
        self.story: list[Any] = []

    def update(
        self, state: WriterState, frame: Frame, layers: LayerTable
    ) -> tuple[WriterState, Outcome]:
        self.story += [*(event["kind"] for event in frame.events), *frame.steps.tolist()]
        return fold.update(state, frame, layers)


def listed(engine: Engine, run_id: uuid.UUID, limit: int = 1000) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        page = events.list_events(connection, run_id, limit=limit)
    return [dict(one) for one in reversed(page.items)]


def test_events_have_their_place_among_the_steps_and_keep_it_through_a_restart(
    engine: Engine,
) -> None:
    run_id, heard = create_run(engine), Heard()
    with serving(engine, fold=Fold(update=heard.update)) as writer:
        answer(writer, steps_push(run_id, [0, 1, 2]))
        answer(writer, events_push(run_id, CHECKPOINT, ADVICE))
        answer(writer, steps_push(run_id, [3]))
    assert heard.story == [0, 1, 2, "checkpoint", "advice", 3]
    again = Heard()
    with serving(engine, fold=Fold(update=again.update)) as writer:
        answer(writer, steps_push(run_id, [4]))
    assert again.story == [*heard.story, 4]
    assert rows(engine, tables.frames, run_id, "seq", "reports", "ordinal") == [
        (0, 3, 0),
        (1, 0, 3),
        (2, 1, 3),
        (3, 1, 4),
    ]


def test_an_event_is_stored_and_so_it_is_without_a_key_each_time_it_is_sent(
    engine: Engine, writer: Writer, run_id: uuid.UUID
) -> None:
    receipts = [answer(writer, events_push(run_id, CHECKPOINT)) for _ in range(2)]
    assert [(one.status, one.accepted) for one in receipts] == [("stored", 0)] * 2
    assert [one["path"] for one in listed(engine, run_id)] == ["/x", "/x"]


def test_an_idempotency_key_stores_events_once(engine: Engine) -> None:
    run_id = create_run(engine)
    statuses = []
    for _ in range(3):
        with serving(engine) as writer:
            statuses.append(answer(writer, events_push(run_id, CHECKPOINT, key="k")).status)
    assert statuses == ["stored", "duplicate", "duplicate"]
    assert len(listed(engine, run_id)) == 1
    with serving(engine) as writer, pytest.raises(Conflict, match="choose a new key"):
        answer(writer, events_push(run_id, ADVICE, key="k"))


def test_events_are_a_sign_of_life_and_keep_their_order(engine: Engine) -> None:
    run_id, later = create_run(engine), NOW + dt.timedelta(hours=1)
    said = [{"kind": "checkpoint", "step": n, "path": f"/{n}"} for n in range(20)]
    with serving(engine, clock=lambda: later) as writer:
        answer(writer, events_push(run_id, *said))
    with engine.connect() as connection:
        run = runs.get_run(connection, run_id)
    assert (run["last_seen_at"], run["last_step"]) == ("2026-11-23T13:00:00.000Z", None)
    found = listed(engine, run_id, limit=5)
    assert [one["path"] for one in found] == [f"/{n}" for n in range(15, 20)]
    assert found[0]["received_at"] == "2026-11-23T13:00:00.000Z"


def test_events_of_a_later_launch_are_its_own(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine, launch_id="first")
    answer(writer, events_push(run_id, CHECKPOINT))
    create_run(engine, id=run_id, launch_id="second")
    answer(writer, events_push(run_id, {"kind": "resume", "step": 2}))
    assert [(one["kind"], one["attempt"]) for one in listed(engine, run_id)] == [
        ("checkpoint", 1),
        ("resume", 2),
    ]
    assert rows(engine, tables.writers, run_id, "writer") == [("steps",), ("steps-2",)]


def test_who_only_says_something_has_no_guard_to_give(engine: Engine, writer: Writer) -> None:
    run_id = create_run(engine)
    answer(writer, events_push(run_id, CHECKPOINT))
    with engine.connect() as connection:
        assert writers.guard(connection, run_id) == Guard()
    told = answer(writer, simple_push(run_id, 0))
    with engine.connect() as connection:
        assert writers.guard(connection, run_id) == told.guard


def test_events_need_a_run(writer: Writer) -> None:
    with pytest.raises(NotFound):
        answer(writer, events_push(uuid.uuid4(), CHECKPOINT))
