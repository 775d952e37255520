"""Whatever the service does and the job says: no exception, the same weights, and it exits.

What was spooled meanwhile is stored once somebody sends it to a service that is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.buffer import Counts
from gradwatch.config import Config
from gradwatch.process import EXIT_SECONDS
from tests.reliability.bad_servers import REPLIES, hanging, replying
from tests.reliability.training_job import BAD_STARTS, STEPS
from tests.servers import Server, free_port

ROOT = Path(__file__).parents[2]
SLACK_SECONDS = 2.0  # for an interpreter that ends on a busy machine
SYNC = "import sys; from gradwatch.cli import main; sys.exit(main(['sync', *sys.argv[1:]]))"
# Answers that take what is reported, or refuse it for ever: nothing waits for another service.
FOR_GOOD = frozenset({"answers wrong types", "conflicts", "refuses"})
DEADLINE_SECONDS = 60.0  # for a job that takes a second and may wait two at its end
JOBS_AT_ONCE = 4
AT_LEAST = min(STEPS, Config().queue_records)  # reports arrive of a job that outruns the sender


@pytest.fixture
def backend() -> str:
    return "sqlite"


def run_job(url: str, habit: str, start: str = "", spool: Path | None = None) -> dict[str, Any]:
    """What the job says at its end; it must come to that, in time and with status 0."""
    given = {"GRADWATCH_URL": url, "GRADWATCH_MODE": ""}
    if spool is not None:
        given["GRADWATCH_SPOOL"] = str(spool)
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.training_job", habit, start],
        cwd=ROOT,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "defect" not in done.stderr
    assert len(done.stderr.splitlines()) < 12, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said | {"exit_seconds": time.monotonic() - said["ends_at"]}


@cache
def weights() -> str:
    """The weights of the training that nobody watches."""
    return str(run_job("http://127.0.0.1:9", "silent")["weights"])


def check(said: dict[str, Any]) -> None:
    assert (said["steps"], said["weights"]) == (STEPS, weights())
    counts = Counts(**said["counts"])
    assert counts.observed == counts.stored + counts.rejected + counts.dropped + counts.pending
    assert said["exit_seconds"] < EXIT_SECONDS + SLACK_SECONDS


def sync(url: str, run: str, spool: Path) -> str:
    """Send what a job left; what that says."""
    done = subprocess.run(
        [sys.executable, "-c", SYNC, run],
        env=os.environ | {"GRADWATCH_URL": url, "GRADWATCH_SPOOL": str(spool)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_left(server: Server, said: dict[str, Any], spool: Path) -> None:
    """All that was not dropped or refused is stored, once, now that it is sent to a service."""
    sync(server.url, said["run"], spool)
    url = f"{server.api}/runs/{said['run']}/series"
    asked = {"metric": "loss", "points": 10_000}
    losses = httpx.get(url, params=asked, trust_env=False).json()
    assert len(set(losses["steps"])) == len(losses["steps"]) == losses["total_points"]
    assert losses["total_points"] == STEPS - said["counts"]["dropped"]


def at_once(
    job: Callable[[str], dict[str, Any]], names: Iterable[str]
) -> Mapping[str, dict[str, Any]]:
    """What the jobs of these names say; several run at a time, for they mostly wait."""
    with ThreadPoolExecutor(JOBS_AT_ONCE) as pool:
        return dict(zip(names, pool.map(job, names), strict=True))


def test_nobody_listens(standing_server: Server, tmp_path: Path):
    said = run_job(f"http://127.0.0.1:{free_port()}", "plain", spool=tmp_path)
    check(said)
    assert said["counts"]["observed"] == STEPS
    check_left(standing_server, said, tmp_path)


def test_the_server_takes_connections_and_hangs(standing_server: Server, tmp_path: Path):
    with hanging() as url:
        said = run_job(url, "plain", spool=tmp_path)
    check(said)
    check_left(standing_server, said, tmp_path)


def test_the_server_is_no_good(standing_server: Server, tmp_path: Path):
    def job(fault: str) -> dict[str, Any]:
        with replying(REPLIES[fault]) as url:
            return run_job(url, "plain", spool=tmp_path / fault)

    for fault, said in at_once(job, REPLIES).items():
        check(said)
        assert said["counts"]["observed"] == STEPS, fault
        if fault not in FOR_GOOD:
            check_left(standing_server, said, tmp_path / fault)


def test_init_is_given_nonsense():
    def job(start: str) -> dict[str, Any]:
        return run_job(f"http://127.0.0.1:{free_port()}", "plain", start)

    for said in at_once(job, BAD_STARTS).values():
        check(said)


@pytest.mark.parametrize("habit", ["all_nan", "malformed", "after_the_end"])
def test_the_job_itself_is_the_fault_and_nobody_listens(habit: str):
    check(run_job(f"http://127.0.0.1:{free_port()}", habit))


def test_all_nan_is_reported_and_does_no_harm(server: Server, http: httpx.Client):
    said = run_job(server.url, "all_nan")
    check(said)
    (run,) = http.get("/runs").json()["items"]
    assert (run["state"], run["health"]) == ("finished", "critical")
    assert run["last_step"] >= AT_LEAST - 1
    (alert,) = http.get("/alerts", params={"run": run["id"], "rule": "non-finite"}).json()["items"]
    assert (alert["opened_step"], alert["layers"]) == (0, ["fc"])
    losses = http.get(
        f"/runs/{run['id']}/series", params={"metric": "loss", "points": 10_000}
    ).json()
    assert len(losses["values"]) >= AT_LEAST
    assert set(losses["values"]) == {"NaN"}


def test_nonsense_is_left_out_and_the_rest_is_stored(server: Server, http: httpx.Client):
    check(run_job(server.url, "malformed"))
    (run,) = http.get("/runs").json()["items"]
    assert (run["state"], run["degraded"]) == ("finished", None)
    assert run["last_step"] == STEPS - 1


def test_a_watched_job_ends_with_the_weights_of_an_unwatched_one(server: Server):
    check(run_job(server.url, "plain"))
