"""A job may fork and spawn at any moment: no process hangs, and each report is stored once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.buffer import Counts
from tests.reliability.bad_servers import hanging
from tests.reliability.counts import times
from tests.reliability.forking_job import CHILD_STEPS
from tests.servers import Server

ROOT = Path(__file__).parents[2]
FORKS, SPAWNS = times(30, 150), times(2, 8)
STORED = Counts(observed=CHILD_STEPS, stored=CHILD_STEPS)

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture
def backend() -> str:
    return "sqlite"


def job(url: str, way: str, count: int, patience: float = 30) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.forking_job", way, str(count), str(patience)],
        cwd=ROOT,
        env={**os.environ, "GRADWATCH_URL": url, "GRADWATCH_MODE": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return json.loads(done.stdout)


def check_stored(http: httpx.Client, said: dict[str, Any], children: int) -> None:
    """Every report of every process is stored, once."""
    assert [Counts(**counts) for _, counts in said["children"]] == [STORED] * children
    assert {inherited for inherited, _ in said["children"]} == {0}
    parent = Counts(**said["parent"])
    assert parent == Counts(observed=said["logged"], stored=said["logged"])
    asked = {"metric": "loss", "points": 10_000}
    losses = http.get(f"/runs/{said['run']}/series", params=asked).json()
    assert losses["total_points"] == said["logged"] + children * CHILD_STEPS
    assert len(set(losses["steps"])) == len(losses["steps"])


@forks
def test_forks_under_load_neither_hang_nor_lose_anything(server: Server, http: httpx.Client):
    check_stored(http, job(server.url, "fork", FORKS), FORKS)


@forks
def test_forks_do_not_hang_when_the_server_does():
    with hanging() as url:
        said = job(url, "fork", 5, patience=0.5)
    waiting = Counts(observed=CHILD_STEPS, pending=CHILD_STEPS)
    assert [Counts(**counts) for _, counts in said["children"]] == [waiting] * 5


def test_processes_that_are_spawned_report_by_themselves(server: Server, http: httpx.Client):
    check_stored(http, job(server.url, "spawn", SPAWNS), SPAWNS)
