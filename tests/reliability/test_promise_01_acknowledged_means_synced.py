"""No 201 leaves before an fsync of the write-ahead log: read off the system calls of the server.

``kill -9`` cannot show it: what a dead process has written stays in the kernel's memory.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from tests.databases import POSTGRES
from tests.reliability.counts import times
from tests.servers import COMMAND, Server, poll

PUSHES = times(40, 400)
CALLS = "fsync,fdatasync,write,writev,sendto,sendmsg"
CALL = re.compile(r"(?P<thread>\d+) +(?P<resumed><\.\.\. )?(?P<name>\w+)(?P<rest>.*)")
LAX = f"""
from gradwatch_service.store import database
strict = database._SQLITE_PRAGMAS
lax = tuple(pragma.replace("synchronous=FULL", "synchronous=NORMAL") for pragma in strict)
assert lax != strict
database._SQLITE_PRAGMAS = lax
{COMMAND}
"""


@pytest.fixture
def program() -> str:
    return COMMAND


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], check=False).returncode == 0


needs_strace = pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace")
on_sqlite = pytest.mark.parametrize("backend", ["sqlite"])


@contextlib.contextmanager
def traced(server: Server, calls: Path) -> Iterator[None]:
    """The system calls of a running server go to this file."""
    assert server.process is not None
    target = ["-p", str(server.process.pid)]
    told = calls.with_suffix(".told")
    with told.open("wb") as said:
        strace = subprocess.Popen(
            ["strace", "-f", "-y", "-s", "24", "-e", f"trace={CALLS}", "-o", str(calls), *target],
            stderr=said,
        )
        try:
            poll(lambda: b"attached" in told.read_bytes(), "strace is attached")
            yield
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait(20)


def answers_and_syncs(lines: Iterable[str]) -> list[bool]:
    """For each 201 in order: was the log synced, to the end, since the 201 before it?"""
    found: list[bool] = []
    synced, under_way = False, set[str]()
    for line in lines:
        call = CALL.match(line)
        if call is None:
            continue
        is_sync = call["name"] in {"fsync", "fdatasync"}
        if is_sync and "-wal>" in call["rest"]:
            under_way.add(call["thread"])
        if is_sync and call["rest"].endswith("= 0") and call["thread"] in under_way:
            under_way.discard(call["thread"])
            synced = True
        if '"HTTP/1.1 201' in call["rest"]:
            found.append(synced)
            synced = False
    return found


def push_one_by_one(server: Server, calls: Path) -> list[bool]:
    """Which of the 201s came after a sync."""
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as http:
        run = http.post("/runs", json={"project": "synced"}).json()["id"]
        with traced(server, calls):
            for step in range(PUSHES):
                steps = {"steps": [{"step": step, "loss": 1.0}]}
                assert http.post(f"/runs/{run}/steps", json=steps).status_code == 201
    return answers_and_syncs(calls.read_text().splitlines())


@needs_strace
@on_sqlite
def test_every_201_follows_an_fsync_of_its_commit(server: Server, tmp_path: Path):
    assert push_one_by_one(server, tmp_path / "calls") == [True] * PUSHES


@needs_strace
@on_sqlite
def test_the_proof_fails_where_commits_are_not_synced(database_url: str, tmp_path: Path):
    server = Server(database_url, tmp_path / "server.log", program=LAX).start()
    try:
        found = push_one_by_one(server, tmp_path / "calls")
    finally:
        server.kill()
    assert len(found) == PUSHES
    assert not all(found)


@pytest.mark.parametrize("backend", [POSTGRES])
def test_postgresql_is_asked_to_flush_before_it_answers(engine: Engine):
    with engine.connect() as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"
