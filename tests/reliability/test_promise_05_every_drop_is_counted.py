"""observed = stored + rejected + dropped + pending, whatever becomes of the server."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from gradwatch.buffer import Counts
from gradwatch.config import Config
from gradwatch.ids import uuid7
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.databases import POSTGRES, PostgresServer
from tests.servers import Server, poll

QUICK = {"linger_seconds": 0.01, "backoff_base_seconds": 0.05, "backoff_cap_seconds": 0.2}
BURST = 40
TINY = 10  # records that wait, of a burst of 40
FRAME = 8
DEADLINE_SECONDS = 30.0


@dataclass
class Ledger:
    """A job that reports losses, and looks at its books after every report."""

    run: Run
    logged: list[int] = field(default_factory=list)

    def log(self, steps: int = BURST, loss: float = 1.0) -> None:
        for _ in range(steps):
            step = len(self.logged)
            self.run.log(step, loss=loss)
            self.logged.append(step)
            self.check()

    def check(self) -> Counts:
        counts = self.run.counts
        accounted = counts.stored + counts.rejected + counts.dropped + counts.pending
        assert counts.observed == len(self.logged) == accounted
        return counts

    def settle(self) -> Counts:
        """Wait until nothing is pending; the books balance all the while."""
        poll(lambda: not self.check().pending, "everything is settled", DEADLINE_SECONDS)
        return self.check()


@contextmanager
def reporting(server: Server, run_id: str = "", **settings: Any) -> Iterator[Ledger]:
    """A run of the real client on the real server, ended afterwards."""
    launch = Launch(run_id or str(uuid7()), "books", "launch-1")
    run = Run(launch, Config(url=server.url, **(QUICK | settings)))
    try:
        yield Ledger(run)
    finally:
        run.finish()


def steps_on(http: httpx.Client, run: Run) -> list[int]:
    found = http.get(f"/runs/{run.id}/series", params={"metric": "loss", "points": 10_000}).json()
    assert found["total_points"] == len(found["steps"])
    return found["steps"]


def test_kills_and_restarts_lose_nothing_that_fits_the_queue(server: Server, http: httpx.Client):
    with reporting(server, frame_records=FRAME) as job:
        for _ in range(3):
            job.log()
            server.kill()  # with frames under way: what was not acknowledged is sent again
            job.log()
            assert job.check().pending > 0
            server.start()
        assert job.settle() == Counts(observed=6 * BURST, stored=6 * BURST)
        assert steps_on(http, job.run) == job.logged


def test_an_orderly_restart_under_load_doubles_nothing(server: Server, http: httpx.Client):
    with reporting(server, frame_records=1) as job:
        job.log()
        server.restart()
        job.log()
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged


def test_what_a_tiny_queue_drops_is_counted_and_the_rest_is_stored(
    server: Server, http: httpx.Client
):
    with reporting(server, queue_records=TINY, frame_records=FRAME) as job:
        job.log(FRAME)
        before = job.settle()
        server.kill()
        job.log()
        fault = len(job.logged)
        job.log(1, loss=math.nan)
        job.log()
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
    with reporting(server, queue_bytes=2_000) as job:
        server.stop()
        job.log()
        assert job.check().dropped > 0
        server.start()
        counts = job.settle()
        assert counts.stored + counts.dropped == counts.observed
        assert len(steps_on(http, job.run)) == counts.stored


def test_reports_that_can_never_be_stored_are_rejected_by_name(server: Server, http: httpx.Client):
    taken = http.post("/runs", json={"project": "another"}).json()["id"]
    with reporting(server, taken) as job:
        job.log()
        assert job.settle() == Counts(observed=BURST, rejected=BURST)
        assert steps_on(http, job.run) == []
    assert http.get(f"/runs/{taken}").json()["project"] == "another"


def test_what_the_job_says_wrongly_is_counted_beside_what_is_stored(
    server: Server, http: httpx.Client
):
    with reporting(server) as job:
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
    with reporting(server) as job:
        job.log()
        job.settle()
        assert http.delete(f"/runs/{job.run.id}").status_code == 204
        job.log()
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged[BURST:]


@pytest.mark.parametrize("backend", [POSTGRES])
def test_refusals_with_503_keep_everything_pending(
    server: Server, http: httpx.Client, postgres: PostgresServer
):
    database = str(sa.make_url(server.database_url).database)
    with reporting(server, frame_records=FRAME) as job:
        job.log()
        job.settle()
        postgres.close_to_all(database)
        assert http.get(f"/runs/{job.run.id}").status_code == 503
        job.log()
        assert job.check() == Counts(observed=2 * BURST, stored=BURST, pending=BURST)
        postgres.open_again(database)
        assert job.settle() == Counts(observed=2 * BURST, stored=2 * BURST)
        assert steps_on(http, job.run) == job.logged
