import datetime as dt
import threading
import time
import uuid

import pytest
from sqlalchemy import Engine

from gradwatch_service import worker
from gradwatch_service.api.backend import Backend
from gradwatch_service.clock import utc_now
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import alerts, tables
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.runs import get_run
from gradwatch_service.worker import BUSY, GROUPS_WHEN_BUSY, compact, run_worker, tick
from tests.service.ingest.rig import NOW, answer, create_run, frame_push, make_frame, rows, serving
from tests.service.ingest.test_judgement import Process, judged, new_run, pushes


def in_an_hour() -> dt.datetime:
    return utc_now() + dt.timedelta(hours=1)


def test_a_tick_notes_the_runs_that_have_gone_silent(engine: Engine):
    request = RunRequest(id=uuid.uuid4(), project="silent")
    writer = Writer(engine)
    writer.start()
    writer.run(lambda connection: create_or_resume_run(connection, request, utc_now())).result(10)
    seen = []
    for clock in (utc_now, in_an_hour, in_an_hour):
        tick(Backend(engine, writer, Settings(), clock, Ballast(engine, 0)))
        with engine.connect() as connection:
            run = get_run(connection, request.id)
            found = alerts.of_runs(connection, [request.id]).get(request.id, {})
        seen.append((run["state"], run["health"], [kept.body["rule"] for kept in found.values()]))
    writer.stop()
    assert seen == [("running", "ok", [])] + [("stale", "critical", ["stale-run"])] * 2


def test_a_tick_judges_what_a_process_that_is_no_more_has_stored(engine: Engine):
    run_id = new_run(engine)
    for push in pushes(run_id)[:70]:
        Process(engine).push(push)
    assert judged(engine, run_id) == [(64, 70)]
    writer = Writer(engine)
    writer.start()
    ballast = Ballast(engine, 0)
    tick(Backend(engine, writer, Settings(), lambda: NOW, ballast))
    assert judged(engine, run_id) == [(64, 70)]  # it may still come to it
    tick(Backend(engine, writer, Settings(), lambda: NOW + dt.timedelta(seconds=11), ballast))
    assert judged(engine, run_id) == [(70, 70)]
    writer.stop()


def test_a_tick_that_fails_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture):
    stop, ticks = threading.Event(), []

    def work() -> None:
        ticks.append(len(ticks))
        if len(ticks) < 3:
            raise RuntimeError("the disk is full")
        stop.set()

    run_worker(work, 0.001, stop)
    assert ticks == [0, 1, 2]
    assert caplog.text.count("RuntimeError: the disk is full") == 2


def test_a_worker_told_to_stop_does_not_tick_again():
    stop = threading.Event()
    stop.set()
    run_worker(lambda: pytest.fail("ticked"), 60, stop)


def test_while_the_writer_is_busy_a_tick_seals_only_a_few_groups(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(worker, "BUSY", BUSY / 10)  # still busy on a machine that is slow to tick
    run_id = create_run(engine)
    with serving(engine) as writer:
        for name in "abcdefgh":
            answer(writer, frame_push(run_id, 0, make_frame(range(1_000), loss=1.0), name))
        while writer.load.share <= BUSY:
            writer.run(lambda _: time.sleep(0.9)).result(10)
        served = Backend(engine, writer, Settings(), lambda: NOW, Ballast(engine, 0))
        tick(served)
        assert len(rows(engine, tables.tilings, run_id, "writer")) == GROUPS_WHEN_BUSY
        compact(served)
        assert len(rows(engine, tables.tilings, run_id, "writer")) == 8
