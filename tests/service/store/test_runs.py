"""Runs are created once, resumed as attempts, listed newest first, and deleted without a trace."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.domain import Layer, LayerTable
from gradwatch_service.errors import Conflict, Invalid, NotFound
from gradwatch_service.store import detector_states, layers, runs
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.detector_states import Checkpoint
from gradwatch_service.store.launches import RunRequest, create_or_resume_run, facts_of
from gradwatch_service.store.notice_tables import (
    alert_acts,
    deliveries,
    handed_advice,
    notices,
    outbox,
)
from gradwatch_service.store.runs import Filters
from gradwatch_service.store.schema import run_tables
from gradwatch_service.store.tables import runs as table
from gradwatch_service.worker import compact
from tests.rows import value
from tests.service.ingest.rig import answer, events_push, serving, steps_push
from tests.service.store.tiled import backend, finish

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(hours=1)
TWO = LayerTable((Layer("a", "linear", 0, (2, 3), "bfloat16", "relu", normalised=True), Layer("b")))


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_writing(engine).begin() as opened:
        yield opened


def create(connection: Connection, now: dt.datetime = NOW, **request: Any) -> dict[str, Any]:
    wanted = RunRequest(**{"id": uuid.uuid4(), "project": "p"} | request)
    return dict(create_or_resume_run(connection, wanted, now)[0])


def test_a_new_run_is_running_and_well(connection: Connection) -> None:
    run_id = uuid.uuid4()
    request = RunRequest(
        run_id, "lm", "gpt", {"lr": 0.1}, ["big"], launch_id="first", resume_step=None
    )
    run, is_new = create_or_resume_run(connection, request, NOW)
    assert is_new
    assert run == {
        "id": str(run_id),
        "project": "lm",
        "name": "gpt",
        "state": "running",
        "health": "ok",
        "last_step": None,
        "attempts": [
            {
                "number": 1,
                "launch_id": "first",
                "resume_step": None,
                "started_at": "2026-11-23T12:00:00.000Z",
            }
        ],
        "started_at": "2026-11-23T12:00:00.000Z",
        "last_seen_at": "2026-11-23T12:00:00.000Z",
        "finished_at": None,
        "finish_reason": None,
        "open_alerts": 0,
        "config": {"lr": 0.1},
        "tags": ["big"],
        "layers_hash": "",
        "layers_count": 0,
        "degraded": None,
    }


def test_a_run_without_a_name_is_named_after_its_id(connection: Connection) -> None:
    run = create(connection, id=uuid.UUID(int=255))
    assert run["name"] == "run-000000ff"


def test_the_same_launch_again_changes_nothing(connection: Connection) -> None:
    request = RunRequest(uuid.uuid4(), "p", config={"lr": 1}, launch_id="first")
    first, _ = create_or_resume_run(connection, request, NOW)
    again, is_new = create_or_resume_run(connection, request, LATER)
    assert (again, is_new) == (first, False)


def test_no_launch_id_never_opens_an_attempt(connection: Connection) -> None:
    run = create(connection)
    again = create(connection, LATER, id=uuid.UUID(run["id"]), resume_step=5)
    assert len(again["attempts"]) == 1


def test_another_launch_opens_an_attempt_and_revives_the_run(connection: Connection) -> None:
    run_id = uuid.UUID(create(connection, launch_id="first", config={"lr": 1})["id"])
    runs.finish_run(connection, run_id, "failed", "NaN", NOW)
    run = create(connection, LATER, id=run_id, launch_id="second", resume_step=7, config={"lr": 2})
    assert [(one["number"], one["resume_step"]) for one in run["attempts"]] == [(1, None), (2, 7)]
    assert (run["state"], run["finished_at"], run["config"]) == ("running", None, {"lr": 2})
    facts = [facts_of(connection, run_id, number) for number in (1, 2)]
    assert [one.extra for one in facts] == [{"lr": 1}, {"lr": 2}]
    third = create(connection, LATER, id=run_id, launch_id="third")
    assert third["config"] == {"lr": 2}


@pytest.mark.parametrize(
    ("first", "second", "resumed"),
    [
        (None, None, [False, True]),
        (0, 0, [False, False]),
        (500, 700, [True, True]),
    ],
)
def test_a_launch_that_goes_on_from_a_step_is_resumed(
    connection: Connection, first: int | None, second: int | None, resumed: list[bool]
) -> None:
    run_id = uuid.UUID(create(connection, launch_id="first", resume_step=first)["id"])
    create(connection, LATER, id=run_id, launch_id="second", resume_step=second)
    assert [facts_of(connection, run_id, number).resumed for number in (1, 2)] == resumed


def test_an_id_of_another_project_is_a_conflict(connection: Connection) -> None:
    run = create(connection, project="p")
    with pytest.raises(Conflict, match="this id is taken"):
        create(connection, id=uuid.UUID(run["id"]), project="q")


def test_layers_are_registered_with_the_run_or_later(connection: Connection) -> None:
    run_id = uuid.UUID(create(connection)["id"])
    run = create(connection, id=run_id, layers=TWO)
    assert (run["layers_hash"], run["layers_count"]) == (TWO.hash, 2)
    assert layers.find(connection, run_id, TWO.hash) == TWO
    assert layers.current(connection, run_id) == TWO
    assert layers.find(connection, run_id, "0" * 64) is None
    assert layers.find(connection, run_id, "") == LayerTable()
    one = LayerTable(TWO.layers[:1])
    assert create(connection, id=run_id, layers=one)["layers_count"] == 1
    assert layers.all_tables(connection, run_id) == {TWO.hash: TWO, one.hash: one}


def test_people_may_rename_and_tag(connection: Connection) -> None:
    run_id = uuid.UUID(create(connection, name="old", tags=["a"])["id"])
    assert runs.patch_run(connection, run_id, name="new")["tags"] == ["a"]
    patched = runs.patch_run(connection, run_id, tags=[])
    assert (patched["name"], patched["tags"]) == ("new", [])


def test_a_run_finishes_once(connection: Connection) -> None:
    run_id = uuid.UUID(create(connection)["id"])
    runs.finish_run(connection, run_id, "finished", "done", NOW)
    again = runs.finish_run(connection, run_id, "finished", "done", LATER)
    assert (again["state"], again["finish_reason"]) == ("finished", "done")
    assert again["finished_at"] == "2026-11-23T12:00:00.000Z"


def test_what_is_not_there_is_not_found(connection: Connection) -> None:
    nobody = uuid.uuid4()
    for action in (
        lambda: runs.get_run(connection, nobody),
        lambda: runs.patch_run(connection, nobody, name="x"),
        lambda: runs.finish_run(connection, nobody, "finished", None, NOW),
        lambda: runs.delete_run(connection, nobody),
    ):
        with pytest.raises(NotFound, match=str(nobody)):
            action()


def tell_of(run_ids: tuple[uuid.UUID, ...], connection: Connection) -> None:
    """Rows of what people did and were told."""
    for one in (alert_acts, outbox, notices, deliveries, handed_advice):
        for run_id in run_ids:
            row = {column.name: value(column, 0) for column in one.c} | {"run_id": run_id}
            connection.execute(sa.insert(one).values(row))


def test_a_deleted_run_leaves_no_row_in_any_table(engine: Engine) -> None:
    with for_writing(engine).begin() as connection:
        gone, kept = (uuid.UUID(create(connection)["id"]) for _ in range(2))
        states = [Checkpoint(run_id, "w", 0, 0, b"") for run_id in (gone, kept)]
        detector_states.save(connection, states)
    with serving(engine) as writer:
        for run_id in (gone, kept):
            answer(writer, steps_push(run_id, [0, 1], key="k", a=float("nan")))
            answer(writer, events_push(run_id, {"kind": "note"}))
            finish(writer, run_id)
        compact(backend(engine, writer))
        writer.run(partial(tell_of, (gone, kept))).result(60)
        writer.run(lambda connection: runs.delete_run(connection, gone)).result(60)
    with engine.connect() as connection:
        for one in run_tables():
            left = set(connection.execute(sa.select(one.c.run_id)).scalars())
            assert left == {kept}, one.name


def test_a_list_is_newest_first_and_continues_where_it_ended(connection: Connection) -> None:
    ids = [
        create(connection, NOW + dt.timedelta(minutes=n // 2), name=f"n{n}")["id"] for n in range(7)
    ]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = runs.list_runs(connection, Filters(), cursor, limit=3)
        seen += [str(item["id"]) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(ids)
    assert seen[0] == ids[6]
    assert {seen[5], seen[6]} == {ids[0], ids[1]}


def test_a_list_shows_what_was_asked_for(connection: Connection) -> None:
    first = create(connection, project="p", launch_id="x")
    other = create(connection, project="q")
    runs.finish_run(connection, uuid.UUID(other["id"]), "failed", None, NOW)
    connection.execute(sa.update(table).where(table.c.project == "p").values(health="critical"))

    def found(**wanted: Any) -> list[object]:
        return [item["id"] for item in runs.list_runs(connection, Filters(**wanted)).items]

    assert found(project="q") == [other["id"]]
    assert found(state="failed") == [other["id"]]
    assert found(health="critical") == [first["id"]]
    assert found(project="q", state="running") == []
    assert (
        runs.list_runs(connection, Filters(project="p")).items[0]["attempts"] == first["attempts"]
    )


def test_a_foreign_cursor_is_refused(connection: Connection) -> None:
    with pytest.raises(Invalid):
        runs.list_runs(connection, Filters(), "nonsense")


def test_a_time_without_an_offset_cannot_be_stored(connection: Connection) -> None:
    with pytest.raises(sa.exc.StatementError, match="without an offset"):
        create(connection, NOW.replace(tzinfo=None))
