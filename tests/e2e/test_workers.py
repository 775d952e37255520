"""``gradwatch serve --workers 2``: one port, two processes, either of which may die."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from gradwatch_service.store.database import make_engine
from gradwatch_service.store.tables import tilings
from tests.databases import POSTGRES, PostgresServer
from tests.reliability.counts import times
from tests.reliability.pushers import check_stored, progress, pushing
from tests.servers import COMMAND, Server, poll
from tests.service.ingest.test_judge_process import processes_of

pytestmark = pytest.mark.parametrize("backend", [POSTGRES])

WORKERS = 2
KILLS = times(2, 20)
ACKS_BETWEEN = times(6, 20)
REPLACED_SECONDS = 75.0  # the supervisor alone may wait 30 for one that was killed as it started


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    environment = {"GRADWATCH_WORKERS": str(WORKERS), "GRADWATCH_WORKER_TICK_SECONDS": "0.2"}
    log = tmp_path / "server.log"
    running = Server(database_url, log, program=COMMAND, environment=environment).start()
    poll(lambda: all_have_started(running), "all workers have started")
    yield running
    running.kill()


def workers_of(server: Server) -> list[int]:
    """Its processes that serve, the oldest first."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in command_of(int(child))]


def all_have_started(server: Server) -> bool:
    """Whether each has begun to judge: the supervisor waits long for one that starts to answer."""
    workers = workers_of(server)
    return len(workers) == WORKERS and all(map(processes_of, workers))


def command_of(pid: int) -> bytes:
    path = Path(f"/proc/{pid}/cmdline")
    return path.read_bytes() if path.exists() else b""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def kill_the_oldest(server: Server) -> None:
    victim, other = workers_of(server)
    os.kill(victim, signal.SIGKILL)

    def is_replaced() -> bool:
        now = workers_of(server)
        return all_have_started(server) and other in now and victim not in now

    poll(is_replaced, "another takes its place", REPLACED_SECONDS)


def test_either_may_be_killed_and_nothing_is_lost_or_doubled(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "workers"}).json()["id"]
    with pushing([server.api] * 3, run) as pushers:
        for _ in range(KILLS):
            poll(progress(pushers, ACKS_BETWEEN), "every client is acknowledged enough")
            kill_the_oldest(server)
        poll(progress(pushers, ACKS_BETWEEN), "every client goes on")
    check_stored(http, run, pushers)


def test_one_that_dies_while_the_database_is_away_comes_back_with_it(
    server: Server, http: httpx.Client, postgres: PostgresServer
):
    database = sa.make_url(server.database_url).database
    assert database is not None
    postgres.close_to_all(database)
    first, second = workers_of(server)
    os.kill(first, signal.SIGKILL)
    poll(lambda: "cannot use postgresql" in server.log.read_text(), "a new one has tried")
    assert second in workers_of(server)
    postgres.open_again(database)
    os.kill(second, signal.SIGKILL)
    poll(lambda: is_ready(server), "new ones serve", REPLACED_SECONDS)
    assert http.post("/runs", json={"project": "workers"}).status_code == 201


def test_all_of_them_serve(server: Server):
    """Connections go to whoever is free: while one is stopped, the other answers them all."""
    for pid in workers_of(server):
        os.kill(pid, signal.SIGSTOP)
        try:
            poll(lambda: is_ready(server), "the other one answers")
        finally:
            os.kill(pid, signal.SIGCONT)


def is_ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=1, trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_they_are_announced_once_and_stop_together(server: Server):
    pids = workers_of(server)
    said = server.log.read_text()
    assert said.startswith(f"Gradwatch on {server.url}, data in postgresql+psycopg://")
    assert said.count("\n") == 1
    assert server.stop() == 0
    assert server.log.read_text() == said
    assert [command_of(pid) for pid in pids] == [b"", b""]
    assert not listens(server.port)


def test_without_their_supervisor_they_end_and_it_can_be_started_again(
    server: Server, http: httpx.Client
):
    run = http.post("/runs", json={"project": "workers"}).json()["id"]
    pids = workers_of(server)
    server.kill()
    poll(lambda: not any(map(command_of, pids)), "the workers end by themselves")
    server.start()
    assert http.get(f"/runs/{run}").status_code == 200


def test_the_periodic_work_is_done(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "workers"}).json()["id"]
    steps = [{"step": step, "loss": 1.0} for step in range(600)]
    assert http.post(f"/runs/{run}/steps", json={"steps": steps}).status_code == 201
    engine = make_engine(server.database_url)

    def is_compacted() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(sa.select(sa.func.count(tilings.c.run_id))).scalar())

    poll(is_compacted, "its reports lie in tiles")
    engine.dispose()
