"""An outage in which an hour of reports comes to wait: little memory, nothing lost, new first."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from gradwatch.ids import uuid7
from gradwatch.spool import folder
from gradwatch_service.store.tables import frames
from tests.reliability.counts import times
from tests.servers import Server, poll

pytestmark = pytest.mark.sqlite_in_brief

ROOT = Path(__file__).parents[2]
BEFORE = 20
OUTAGE = times(500, 3_600)  # steps of 300 layers x 8 statistics, one a second in real life
AFTER = 24
GROWTH_BYTES = 32 << 20
DEADLINE_SECONDS = 120.0


@dataclass
class Job:
    """A job that reports as many steps as it is told to."""

    process: subprocess.Popen[str]

    def report(self, steps: int, pause_seconds: float = 0.0) -> dict[str, Any]:
        """What the job says of itself after these steps."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{steps} {pause_seconds}\n")
        stdin.flush()
        said: dict[str, Any] = json.loads(stdout.readline())
        return said


@contextmanager
def job(url: str, run_id: str) -> Iterator[Job]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.spooling_job", "hour", run_id],
        cwd=ROOT,
        env={**os.environ, "GRADWATCH_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Job(process)
        process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def arrivals(server: Server, run_id: str) -> list[tuple[str, int, dt.datetime]]:
    """Writer, step and time of each frame, in the order in which they were stored."""
    engine = sa.create_engine(server.database_url)
    query = (
        sa.select(frames.c.writer, frames.c.step_min, frames.c.received_at)
        .where(frames.c.run_id == uuid.UUID(run_id), frames.c.reports > 0)
        .order_by(frames.c.received_at)
    )
    with engine.connect() as connection:
        found = [(writer, step, at) for writer, step, at in connection.execute(query)]
    engine.dispose()
    return found


def stored(http: httpx.Client, run_id: str) -> list[int]:
    asked = {"metric": "loss", "points": 10_000}
    return http.get(f"/runs/{run_id}/series", params=asked).json().get("steps", [])


@pytest.fixture(name="server")
def server_that_keeps_frames(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """Without a worker, which would pack frames together and forget when they came."""
    alone = {"GRADWATCH_EMBEDDED_WORKER": "false"}
    running = Server(database_url, tmp_path / "server.log", environment=alone).start()
    yield running
    running.kill()


@pytest.mark.timeout(900)
def test_an_hour_of_reports_waits_on_disk_and_new_ones_do_not_wait_for_it(
    server: Server, http: httpx.Client, spool: Path
):
    run_id = str(uuid7())
    with job(server.url, run_id) as working:
        before = working.report(BEFORE, 0.01)
        poll(lambda: len(stored(http, run_id)) == BEFORE, "the first steps are stored")
        server.kill()
        during = working.report(OUTAGE)
        assert folder.total_bytes(spool / run_id) > OUTAGE * 300 * 8 * 4 / 2
        server.start()
        back_at = dt.datetime.now(dt.UTC)
        after = working.report(AFTER, 0.25)
    total = BEFORE + OUTAGE + AFTER
    assert stored(http, run_id) == list(range(total))
    assert (after["observed"], after["dropped"]) == (total, 0)
    growth = [said["resident"] - before["resident"] for said in (during, after)]
    print(f"{OUTAGE} steps waited: {[round(more / 2**20, 1) for more in growth]} MiB more")
    assert max(growth) <= GROWTH_BYTES

    came = arrivals(server, run_id)
    backlog, live = dict.fromkeys(writer for writer, _, _ in came)
    for writer in (backlog, live):
        steps = [step for name, step, _ in came if name == writer]
        assert steps == sorted(steps)
    first_live = next(place for place, (writer, _, _) in enumerate(came) if writer == live)
    behind = [at for writer, _, at in came[first_live:] if writer == backlog]
    print(f"when the first new step was stored, {len(behind)} steps of the outage still waited")
    ready = [(at - back_at).total_seconds() for at in (came[first_live][2], behind[-1])]
    print(
        f"after the service was ready: {ready[0]:.1f} s, and {ready[1]:.1f} s until all was there"
    )
    assert len(behind) > OUTAGE / 10
    assert folder.files(spool) == []
    assert http.get(f"/runs/{run_id}").json()["state"] == "finished"
    assert http.get("/alerts", params={"run": run_id}).json()["items"] == []
