"""While the database is away callers are told to come back, never 500; then all goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from tests.databases import TEMPLATE, PostgresServer
from tests.servers import Server, poll

pytestmark = pytest.mark.postgres

DATABASE = "outage"


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
