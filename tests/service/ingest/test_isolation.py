"""What goes wrong for one push, one rule or one moment stays with it."""

from __future__ import annotations

import math
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from gradwatch_service.diagnose import fold
from gradwatch_service.diagnose.fold import Outcome, WriterState
from gradwatch_service.diagnose.merge import Alert
from gradwatch_service.domain import Frame, LayerTable
from gradwatch_service.errors import Conflict, NotFound, Unavailable
from gradwatch_service.ingest.fold import Fold
from gradwatch_service.ingest.writer import Limits, Writer
from gradwatch_service.store import runs, tables
from gradwatch_service.store.database import for_writing
from tests.databases import POSTGRES, PostgresServer
from tests.service.ingest.rig import (
    answer,
    create_run,
    frame_push,
    make_frame,
    rows,
    serving,
    simple_push,
)

POISON = 13.0


def stumbling(state: WriterState, frame: Frame, layers: LayerTable) -> tuple[WriterState, Outcome]:
    """The real fold, but for a rule that cannot bear one loss."""
    if POISON in frame.scalars["loss"]:
        raise ZeroDivisionError("a rule stumbled")
    return fold.update(state, frame, layers)


def test_data_a_rule_stumbles_over_is_stored_and_the_run_marked_degraded(engine: Engine) -> None:
    run_id, healthy = create_run(engine), create_run(engine)
    with serving(engine, fold=Fold(update=stumbling)) as writer:
        answer(writer, simple_push(run_id, 0))
        receipt = answer(writer, simple_push(run_id, 1, loss=POISON))
        assert (receipt.status, receipt.contiguous_through) == ("stored", 1)
        answer(writer, simple_push(run_id, 2))
        answer(writer, simple_push(healthy, 0))
    with serving(engine, fold=Fold(update=stumbling)) as restarted:
        assert answer(restarted, simple_push(run_id, 3)).contiguous_through == 3
    folded = rows(engine, tables.writers, run_id, "ordinal", "next_seq")
    assert folded == [(4, 4)]
    ((degraded,),) = rows(engine, tables.runs, run_id, "degraded")
    assert degraded == "ZeroDivisionError('a rule stumbled')"
    assert rows(engine, tables.runs, healthy, "degraded") == [(None,)]


def test_an_alert_that_cannot_be_joined_degrades_its_run_and_no_more(engine: Engine) -> None:
    def unable(*_: object) -> Alert:
        raise ZeroDivisionError("no way to join")

    run_id = create_run(engine)
    with serving(engine, fold=Fold(join=unable)) as writer:
        receipts = [answer(writer, simple_push(run_id, seq, loss=math.nan)) for seq in range(2)]
    assert [(one.status, one.health, one.alerts) for one in receipts] == [("stored", "ok", ())] * 2
    assert rows(engine, tables.runs, run_id, "degraded") == [
        ("ZeroDivisionError('no way to join')",)
    ]


def test_a_refused_push_fails_alone_in_its_group(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)
    good = [writer.submit(simple_push(run_id, seq)) for seq in range(3)]
    conflict = writer.submit(simple_push(run_id, 1, loss=2.0))
    missing = writer.submit(simple_push(uuid.uuid4(), 0))
    writer.start()
    assert [one.result(60).status for one in good] == ["stored"] * 3
    with pytest.raises(Conflict):
        conflict.result(60)
    with pytest.raises(NotFound):
        missing.result(60)
    writer.stop()
    assert len(rows(engine, tables.frames, run_id, "seq")) == 3


def test_what_breaks_a_whole_group_is_found_by_trying_one_by_one(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO nonsense VALUES (1)")

    def mistaken(_: Connection) -> None:
        raise KeyError("a bug")

    first = writer.submit(simple_push(run_id, 0))
    failing = [writer.run(broken), writer.run(mistaken)]
    last = writer.submit(simple_push(run_id, 1))
    writer.start()
    assert [first.result(60).status, last.result(60).status] == ["stored", "stored"]
    wrong_sql, bug = [one.exception(60) for one in failing]
    assert isinstance(wrong_sql, DBAPIError)
    assert isinstance(bug, KeyError)
    writer.stop()


def test_a_write_that_always_collides_is_given_up_and_its_neighbours_are_not(
    engine: Engine,
) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)

    def collide(connection: Connection) -> None:
        connection.execute(tables.layer_tables.insert().values(run_id=run_id, hash="h", layers=[]))
        connection.execute(tables.layer_tables.insert().values(run_id=run_id, hash="h", layers=[]))

    colliding = writer.run(collide)
    pushed = writer.submit(simple_push(run_id, 0))
    writer.start()
    error = colliding.exception(60)
    assert isinstance(error, Unavailable)
    assert error.code == "contended"
    assert pushed.result(60).status == "stored"
    writer.stop()


def test_a_command_that_is_refused_leaves_nothing_behind(engine: Engine) -> None:
    run_id = create_run(engine)

    def rename_and_refuse(connection: Connection) -> None:
        runs.patch_run(connection, run_id, name="half")
        raise Conflict("no")

    with serving(engine) as writer:
        refused = writer.run(rename_and_refuse)
        renamed = writer.run(lambda connection: runs.patch_run(connection, run_id, tags=["x"]))
        assert isinstance(refused.exception(60), Conflict)
        assert renamed.result(60)["tags"] == ["x"]
    with engine.connect() as connection:
        assert runs.get_run(connection, run_id)["name"] != "half"


@contextmanager
def outage(engine: Engine, postgres: PostgresServer | None) -> Iterator[None]:
    """SQLite: another process holds the lock. PostgreSQL: no connection any more."""
    if postgres is not None:
        postgres.close_to_all(engine.url.database or "")
        yield
        postgres.open_again(engine.url.database or "")
        return
    with for_writing(engine).begin():
        yield


@pytest.fixture
def impatient(engine: Engine) -> Engine:
    """The engine, which does not wait for SQLite's lock."""

    @event.listens_for(engine, "connect")
    def hurry(connection: object, _: object) -> None:
        if engine.dialect.name == "sqlite":
            connection.execute("PRAGMA busy_timeout=1")

    engine.dispose()
    return engine


def test_while_the_database_is_away_everything_may_be_sent_again(
    impatient: Engine, request: pytest.FixtureRequest
) -> None:
    on_postgres = impatient.dialect.name == "postgresql"
    server = request.getfixturevalue("postgres") if on_postgres else None
    run_id = create_run(impatient)
    with serving(impatient) as writer:
        answer(writer, simple_push(run_id, 0))
        with outage(impatient, server):
            pending = [writer.submit(simple_push(run_id, seq)) for seq in (0, 1, 2)]
            pending.append(writer.run(lambda connection: runs.get_run(connection, run_id)))
            errors = [one.exception(60) for one in pending]
        assert [type(error) for error in errors] == [Unavailable] * 4
        assert {error.retry_after_seconds for error in errors} == {2.0}
        again = [answer(writer, simple_push(run_id, seq)).status for seq in (0, 1, 2)]
        assert again == ["duplicate", "stored", "stored"]
    assert rows(impatient, tables.frames, run_id, "seq", "ordinal") == [(0, 0), (1, 1), (2, 2)]


def test_a_full_queue_refuses_and_a_stopped_writer_too(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine, limits=Limits(jobs_in_queue=2))
    kept = [writer.submit(simple_push(run_id, seq)) for seq in range(2)]
    refused = writer.submit(simple_push(run_id, 2))
    assert "waiting to be written" in str(refused.exception(0))
    writer.start()
    writer.stop()
    assert [one.result(0).status for one in kept] == ["stored", "stored"]
    assert "stopping" in str(writer.submit(simple_push(run_id, 2)).exception(0))


def test_stopping_waits_for_what_is_queued(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine, limits=Limits(jobs_in_group=2))
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: Connection) -> None:
        begun.set()
        go_on.wait(60)

    held = writer.run(hold)
    writer.start()
    begun.wait(60)
    pending = [writer.submit(simple_push(run_id, seq)) for seq in range(3)]
    stopper = threading.Thread(target=writer.stop)
    stopper.start()
    go_on.set()
    stopper.join(60)
    assert held.result(0) is None
    assert [one.result(0).contiguous_through for one in pending] == [0, 1, 2]


def test_work_given_up_before_its_turn_is_not_done(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine)
    kept, given_up = (writer.submit(simple_push(run_id, seq)) for seq in range(2))
    assert given_up.cancel()
    writer.start()
    writer.stop()
    assert kept.result(0).status == "stored"
    assert rows(engine, tables.frames, run_id, "seq", "reports") == [(0, 1)]


@pytest.mark.parametrize("streams", [1, 2])
def test_streams_that_do_not_fit_in_memory_are_replayed(engine: Engine, streams: int) -> None:
    run_id = create_run(engine)
    with serving(engine, limits=Limits(stream_bytes_in_memory=streams * 65_000)) as writer:
        for seq in range(4):
            for name in ("a", "b", "c"):
                push = frame_push(run_id, seq, make_frame([2 * seq, 2 * seq + 1], loss=1.0), name)
                assert answer(writer, push).contiguous_through == seq
    assert rows(engine, tables.writers, run_id, "writer", "ordinal") == [
        ("a", 8),
        ("b", 8),
        ("c", 8),
    ]


@pytest.mark.parametrize("backend", [POSTGRES])
def test_groups_are_bounded_in_bytes(engine: Engine) -> None:
    run_id = create_run(engine)
    writer = Writer(engine, limits=Limits(bytes_in_group=1))
    pending = [writer.submit(simple_push(run_id, seq)) for seq in range(5)]
    writer.start()
    assert [one.result(60).contiguous_through for one in pending] == list(range(5))
    writer.stop()
