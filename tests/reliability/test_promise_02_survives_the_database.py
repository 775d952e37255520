"""While the database is away callers are told to come back, never 500; then all goes on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.databases import TEMPLATE, PostgresServer
from tests.reliability.counts import times
from tests.reliability.pushers import check_stored, progress, pushing
from tests.servers import Server, poll, two_servers

pytestmark = pytest.mark.postgres

DATABASE = "outage"
KILLS = times(3, 20)  # of a replica
CRASHES = times(1, 5)  # of the database
ACKS_BETWEEN = times(6, 20)


@pytest.fixture
def server(postgres: PostgresServer, tmp_path: Path) -> Iterator[Server]:
    running = Server(postgres.create(DATABASE, TEMPLATE), tmp_path / "server.log").start()
    yield running
    running.kill()
    postgres.drop(DATABASE)


def test_an_outage_is_honest_and_passes(
    server: Server, http: httpx.Client, postgres: PostgresServer
):
    run = http.post("/runs", json={"project": "outage"}).json()["id"]
    assert sa.make_url(server.database_url).database == DATABASE

    def push(step: int) -> httpx.Response:
        return http.post(f"/runs/{run}/steps", json={"steps": [{"step": step, "loss": step}]})

    assert push(0).status_code == 201
    postgres.close_to_all(DATABASE)
    for answer in (push(1), http.get(f"/runs/{run}"), http.get("/alerts")):
        assert answer.status_code == 503
        assert answer.json()["code"] == "unavailable"
        assert int(answer.headers["retry-after"]) >= 1
    ready = http.get(f"{server.url}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
    assert http.get(f"{server.url}/healthz").status_code == 200
    postgres.open_again(DATABASE)
    poll(lambda: http.get(f"{server.url}/readyz").status_code == 200, "ready again", 5)
    assert push(1).status_code == 201
    found = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert found["values"] == [0, 1]


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test alone."""
    folder = Path(tempfile.mkdtemp(prefix="gradwatch-"))
    own = PostgresServer(folder)
    yield own
    own.close()
    shutil.rmtree(folder)


@pytest.fixture
def replicas(mortal: PostgresServer, tmp_path: Path) -> Iterator[list[Server]]:
    with two_servers(mortal.create("shared"), tmp_path) as both:
        yield both


@pytest.mark.timeout(600)
def test_two_replicas_and_their_database_die_over_and_over(
    mortal: PostgresServer, replicas: list[Server]
):
    with httpx.Client(base_url=replicas[0].api, timeout=30, trust_env=False) as http:
        run = http.post("/runs", json={"project": "deaths"}).json()["id"]
        with pushing([server.api for server in replicas], run) as pushers:
            for number, server in enumerate(islice(cycle(replicas), KILLS)):
                poll(progress(pushers, ACKS_BETWEEN), "every client is acknowledged enough")
                server.kill()
                if number % (KILLS // CRASHES) == 0:
                    mortal.crash()
                    mortal.start()
                server.start()
        check_stored(http, run, pushers)
