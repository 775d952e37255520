"""observed = stored + rejected + dropped + pending, whatever becomes of the server."""

from __future__ import annotations

import math
import time
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from gradwatch.buffer import Counts
from gradwatch.spool import folder
from tests.databases import POSTGRES, PostgresServer
from tests.reliability.books import reporting, steps_on
from tests.reliability.counts import times
from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

BURST = times(40, 200)
TINY = 10  # records that wait, of a burst
FRAME = 8


def test_kills_and_restarts_lose_nothing_that_fits_the_queue(server: Server, http: httpx.Client):
    with reporting(server.url, frame_records=FRAME, queue_records=6 * BURST) as job:
        for _ in range(3):
            job.log(BURST)
            server.kill()  # with frames under way: what was not acknowledged is sent again
            job.log(BURST)
            assert job.check().pending > 0
            server.start()
        assert job.settle() == Counts(observed=6 * BURST, stored=6 * BURST)
        assert steps_on(http, job.run) == job.logged


def test_an_orderly_restart_under_load_doubles_nothing(server: Server, http: httpx.Client):
    with reporting(server.url, frame_records=1) as job:
        job.log(BURST)
        server.restart()
        job.log(BURST)
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged


def test_what_a_tiny_queue_drops_is_counted_and_the_rest_is_stored(
    server: Server, http: httpx.Client
):
    settings = {"queue_records": TINY, "frame_records": FRAME, "spool_bytes": 0}
    with reporting(server.url, **settings) as job:
        job.log(FRAME)
        before = job.settle()
        server.kill()
        job.log(BURST)
        fault = len(job.logged)
        job.log(1, loss=math.nan)
        job.log(BURST)
        server.start()
        counts = job.settle()
        assert counts.observed == FRAME + 2 * BURST + 1
        assert counts.rejected == 0
        assert counts.dropped >= 2 * BURST + 1 - TINY - FRAME  # one frame may be under way
        stored = steps_on(http, job.run)
        assert len(stored) == counts.stored
        assert sorted(set(stored)) == stored
        assert stored[: before.stored] == list(range(before.stored))
        assert fault in stored  # the evidence of a fault is never dropped first
        assert stored[-TINY + 1 :] == job.logged[-TINY + 1 :]  # and of the rest the oldest is


def test_a_queue_bounded_in_bytes_drops_and_counts_as_well(server: Server, http: httpx.Client):
    with reporting(server.url, queue_bytes=2_000, spool_bytes=0) as job:
        server.stop()
        job.log(BURST)
        assert job.check().dropped > 0
        server.start()
        counts = job.settle()
        assert counts.stored + counts.dropped == counts.observed
        assert len(steps_on(http, job.run)) == counts.stored


def test_a_full_spool_drops_and_counts_and_what_it_holds_is_stored(
    server: Server, http: httpx.Client, spool: Path
):
    settings = {"queue_records": TINY, "frame_records": FRAME, "frame_bytes": 2_000}
    with reporting(server.url, spool_bytes=6_000, **settings) as job:
        server.stop()
        job.log(FRAME)
        while job.run._sender._lanes.live.has_room or not job.check().dropped:
            job.log(FRAME)
            time.sleep(0.01)
        assert folder.total_bytes(spool / job.run.id) <= 6_000
        server.start()
        counts = job.settle()
        assert counts.stored + counts.dropped == counts.observed
        stored = steps_on(http, job.run)
        assert len(stored) == counts.stored > 2 * TINY
        assert sorted(set(stored)) == stored


def test_without_a_disk_everything_that_fits_the_queue_is_stored(
    server: Server, http: httpx.Client, tmp_path: Path
):
    (tmp_path / "file").touch()
    with reporting(server.url, spool=tmp_path / "file", frame_records=FRAME) as job:
        job.log(BURST)
        server.kill()
        job.log(BURST)
        server.start()
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged


def test_reports_that_can_never_be_stored_are_rejected_by_name(server: Server, http: httpx.Client):
    taken = http.post("/runs", json={"project": "another"}).json()["id"]
    with reporting(server.url, taken) as job:
        job.log(BURST)
        assert job.settle() == Counts(observed=BURST, rejected=BURST)
        assert steps_on(http, job.run) == []
    assert http.get(f"/runs/{taken}").json()["project"] == "another"


def test_what_the_job_says_wrongly_is_counted_beside_what_is_stored(
    server: Server, http: httpx.Client
):
    with reporting(server.url) as job:
        job.log(3)
        job.run.log(-1, loss=1.0)
        job.run.log("first", loss=1.0)
        job.run.log(3, loss="low", lr=0.1)
        job.logged += [3, 3, 3]
        counts = job.settle()
        assert counts == Counts(observed=6, stored=4, rejected=2, malformed=1)
        assert steps_on(http, job.run) == [0, 1, 2]
        rates = http.get(f"/runs/{job.run.id}/series", params={"metric": "lr"}).json()
        assert (rates["steps"], rates["values"]) == ([3], [0.1])


def test_a_run_deleted_in_the_middle_is_introduced_again(server: Server, http: httpx.Client):
    with reporting(server.url) as job:
        job.log(BURST)
        job.settle()
        assert http.delete(f"/runs/{job.run.id}").status_code == 204
        job.log(BURST)
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged[BURST:]


@pytest.mark.parametrize("backend", [POSTGRES])
def test_refusals_with_503_keep_everything_pending(
    server: Server, http: httpx.Client, postgres: PostgresServer
):
    database = str(sa.make_url(server.database_url).database)
    with reporting(server.url, frame_records=FRAME) as job:
        job.log(BURST)
        job.settle()
        postgres.close_to_all(database)
        assert http.get(f"/runs/{job.run.id}").status_code == 503
        job.log(BURST)
        assert job.check() == Counts(observed=2 * BURST, stored=BURST, pending=BURST)
        postgres.open_again(database)
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged
