"""``kill -9`` of a job, the service away or the network bad: what was spooled is stored once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest

from gradwatch.config import Config
from gradwatch.ids import uuid7
from gradwatch.launch import Launch
from gradwatch.run import Run
from gradwatch.spool import folder
from gradwatch.spool.journal import Journal
from tests.reliability.bad_network import bad_network
from tests.reliability.counts import times
from tests.reliability.spooling_job import PROJECT, values
from tests.servers import Server, poll

pytestmark = pytest.mark.sqlite_in_brief

ROOT = Path(__file__).parents[2]
KILLS = times(1, 12)  # delivered by `gradwatch sync`
SWEPT = times(1, 3)  # delivered by the next job
SHARE = 0.3
SYNC = "import sys; from gradwatch.cli import main; sys.exit(main(['sync', *sys.argv[1:]]))"


@contextmanager
def job(url: str, run_id: str) -> Iterator[subprocess.Popen[str]]:
    """A job that has reported an explosion and goes on; killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.spooling_job", "crash", run_id],
        cwd=ROOT,
        env={**os.environ, "GRADWATCH_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert [int(process.stdout.readline()) for _ in range(3)] == [0, 100, 200]
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def spooled_steps(spool: Path) -> list[int]:
    """The steps that wait on disk, each as often as it does."""
    found: list[int] = []
    for path in folder.files(spool):
        with folder.looked_at(path) as journal:
            found += steps_in(journal)
    return found


def steps_in(journal: Journal) -> list[int]:
    found: list[int] = []
    while (front := journal.front()) is not None:
        found += np.frombuffer(msgpack.unpackb(front.body)["steps"], "<i8").tolist()
        journal.settle(seq=journal.position.seq + 1, doubtful=False)
    return found


def orphaned(spool: Path) -> None:
    """Five minutes pass."""
    for path in folder.files(spool):
        os.utime(path, (time.time() - 2 * folder.ORPHAN_SECONDS,) * 2)


def stored_steps(http: httpx.Client, run_id: str) -> list[int]:
    answer = http.get(f"/runs/{run_id}/series", params={"metric": "loss", "points": 10_000})
    if answer.status_code == 404:
        return []
    found = answer.json()
    assert found["total_points"] == len(found["steps"])
    return found["steps"]


def told(http: httpx.Client, run_id: str) -> list[dict[str, Any]]:
    """The alerts, without what names them and their run."""
    alerts = http.get("/alerts", params={"run": run_id}).json()["items"]
    kept = ("cause", "rule", "state", "severity", "opened_step", "last_step", "layers")
    return sorted(
        ({key: alert[key] for key in kept} for alert in alerts), key=lambda one: str(one["cause"])
    )


def undisturbed(url: str, http: httpx.Client, steps: int) -> list[dict[str, Any]]:
    """The alerts of a run that reports the same and is not killed."""
    run = Run(Launch(str(uuid7()), PROJECT, "calm"), Config(url=url))
    for step in range(steps):
        run.log(step, **values(step))
    assert run.flush(30.0)
    found = told(http, run.id)
    run.finish()
    return found


def check(server: Server, http: httpx.Client, run_id: str, due: set[int]) -> None:
    """All that is due is stored, once and without a gap, and led to the alerts it should."""
    stored = stored_steps(http, run_id)
    assert stored == sorted(due) == list(range(len(due)))
    run = http.get(f"/runs/{run_id}").json()
    assert (len(run["attempts"]), run["degraded"]) == (1, None)
    alerts = told(http, run_id)
    assert alerts == undisturbed(server.url, http, len(due))
    assert "firing" in {alert["state"] for alert in alerts}


def sync(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SYNC],
        env={**os.environ, "GRADWATCH_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_sync_delivers_what_killed_jobs_have_spooled(
    server: Server, http: httpx.Client, spool: Path
):
    chance = random.Random(8)
    nothing_waited = 0
    for kill in range(KILLS):
        run_id = str(uuid7())
        with bad_network(server.port, SHARE, 1.0) as network:
            with job(network.url, run_id):
                if is_away := kill % 2 == 0:
                    server.kill()
                time.sleep(chance.uniform(0.2, 1.5))
            if is_away:
                server.start()
            due = set(stored_steps(http, run_id)) | set(waiting := spooled_steps(spool))
            assert len(set(waiting)) == len(waiting)
            nothing_waited += not waiting
            orphaned(spool)
            assert (f"run {run_id}" in sync(network.url)) == bool(waiting)
        check(server, http, run_id, due)
        assert folder.files(spool) == []
    print(f"{KILLS} kills, at {nothing_waited} of them nothing waited")
    assert nothing_waited < KILLS


@pytest.mark.timeout(600)
def test_the_next_job_delivers_what_killed_jobs_have_spooled(
    server: Server, http: httpx.Client, spool: Path
):
    dues = {}
    for _ in range(SWEPT):
        run_id = str(uuid7())
        with job(server.url, run_id):
            server.kill()
            time.sleep(0.5)
        server.start()
        waiting = spooled_steps(spool / run_id)
        assert waiting
        dues[run_id] = set(stored_steps(http, run_id)) | set(waiting)
    orphaned(spool)
    following = Run(Launch(str(uuid7()), PROJECT, "next"), Config(url=server.url))
    following.log(0, loss=1.0)
    poll(
        lambda: {path.parent.name for path in folder.files(spool)} <= {following.id},
        "the next job has delivered everything",
        60.0,
    )
    following.finish()
    for run_id, due in dues.items():
        check(server, http, run_id, due)
    assert folder.files(spool) == []
