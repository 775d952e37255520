"""A wish reaches the job through whatever process it reports to, and ends in all of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine

from gradwatch_service.domain import JsonValue
from gradwatch_service.errors import NotFound
from gradwatch_service.ingest.pushes import Judgement
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.store import handed, runs
from tests.service.ingest.rig import (
    DEADLINE,
    LAYERS,
    NOW,
    answer,
    create_run,
    events_push,
    serving,
    simple_push,
)
from tests.service.ingest.training import REPORTS, cut, exploding


def hear_explosion(writer: Writer, run_id: uuid.UUID) -> Mapping[str, JsonValue]:
    """All of it; returns the last of its advice."""
    for push in cut(run_id, exploding(1), range(4, REPORTS, 4), "w0"):
        answer(writer, push)
    writer.submit(Judgement(run_id)).result(DEADLINE)
    return answer(writer, simple_push(run_id, 0, "w1")).advice[-1]


def wishes(advice: tuple[Mapping[str, JsonValue], ...]) -> list[Any]:
    return [item["id"] for item in advice if item["handed_by"] == "ada"]


def test_other_processes_carry_a_wish_and_forget_it_when_it_is_answered(engine: Engine) -> None:
    run_id = create_run(engine, layers=LAYERS)
    with serving(engine) as one, serving(engine) as other:
        item = hear_explosion(one, run_id)
        assert wishes(answer(other, simple_push(run_id, 0, "w2")).advice) == []
        with engine.begin() as connection:
            handed.hand(connection, run_id, uuid.UUID(str(item["id"])), "ada", NOW)
        for writer, name in ((one, "w1"), (other, "w2")):
            receipt = answer(writer, simple_push(run_id, 1, name))
            assert wishes(receipt.advice[:1]) == [item["id"]]
        said = {"kind": "advice", "id": item["id"], "action": item["action"], "step": REPORTS}
        answer(one, events_push(run_id, said | {"status": "declined"}))
        for writer, name in ((one, "w1"), (other, "w2")):
            assert wishes(answer(writer, simple_push(run_id, 2, name)).advice) == []
    with engine.connect() as connection:
        assert [wish.is_open for wish in handed.of_run(connection, run_id).values()] == [False]


def test_a_run_that_is_deleted_meanwhile_takes_no_wish(engine: Engine) -> None:
    run_id = create_run(engine, layers=LAYERS)
    wish, advice = handed.Wish("ada", NOW, 0), uuid.uuid4()
    with engine.begin() as connection:
        run = runs.find_row(connection, run_id)
        assert run is not None
        runs.delete_run(connection, run_id)
        with pytest.raises(NotFound):
            handed._add(connection, run, advice, wish)
        assert handed.of_run(connection, run_id) == {}
