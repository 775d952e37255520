import datetime as dt
import threading
import uuid

import pytest
from sqlalchemy import Engine

from gradwatch_service.api.backend import Backend
from gradwatch_service.clock import utc_now
from gradwatch_service.ingest.writer import Writer
from gradwatch_service.settings import Settings
from gradwatch_service.store import alerts
from gradwatch_service.store.ballast import Ballast
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.runs import get_run
from gradwatch_service.worker import run_worker, tick


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
