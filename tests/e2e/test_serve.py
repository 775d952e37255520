"""The command itself: what it says, how it ends, and what only a real socket can show."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import COMMAND, Server, poll


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def program() -> str:
    return COMMAND


def test_one_line_says_where_it_is_and_where_the_data_lies(server: Server):
    said = server.log.read_text()
    assert said == (
        f"Gradwatch on {server.url}, data in {server.database_url}, API at {server.url}/docs\n"
    )
    assert server.stop() == 0
    assert server.log.read_text() == said


def test_a_body_that_is_too_large_is_answered_and_not_cut_off(http: httpx.Client):
    run = http.post("/runs", json={"project": "large"}).json()["id"]
    answer = http.post(
        f"/runs/{run}/steps",
        content=b" " * (8 * 2**20),
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert http.get(f"/runs/{run}").status_code == 200


def test_a_body_of_undeclared_length_is_read(http: httpx.Client):
    body = (part for part in (b'{"project": ', b'"chunked"}'))
    answer = http.post("/runs", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 201


def test_a_standalone_worker_stops_when_told(database_url: str, tmp_path: Path):
    program = (
        "import sys; from gradwatch_service.commands import worker; sys.exit(worker(sys.argv[1:]))"
    )
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "--database-url", database_url], stdout=out, stderr=out
        )
    poll(lambda: "Gradwatch worker" in log.read_text(), "the worker says that it runs")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
