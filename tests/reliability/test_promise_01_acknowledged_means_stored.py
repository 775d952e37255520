"""2xx only after a durable commit: ``kill -9`` under load loses nothing and doubles nothing."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.reliability.bad_network import bad_network
from tests.reliability.counts import times
from tests.reliability.pushers import PATIENCE_SECONDS, StepsPusher, check_stored, progress, pushing
from tests.servers import Server, poll

KILLS = {"sqlite": times(4, 27), "postgresql": times(3, 27)}
ACKS_BETWEEN_KILLS = times(8, 30)
FAULTS_SHARE = 0.1  # of the requests meet a fault of the network


@pytest.mark.timeout(600)
def test_kill_dash_nine_loses_and_doubles_nothing_acknowledged(
    server: Server, http: httpx.Client, backend: str
):
    run = http.post("/runs", json={"project": "kills"}).json()["id"]
    with (
        bad_network(server.port, FAULTS_SHARE, 2 * PATIENCE_SECONDS) as network,
        pushing([f"{network.url}/api/v1"], run) as pushers,
    ):
        for _ in range(KILLS[backend]):
            poll(progress(pushers, ACKS_BETWEEN_KILLS), "every client is acknowledged enough")
            server.kill()
            server.start()
    assert network.struck, "the network must have been bad"
    check_stored(http, run, pushers)


def test_what_was_acknowledged_is_there_after_an_orderly_stop(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "stops"}).json()["id"]
    pusher = StepsPusher([server.api], run, "loss", threading.Event())
    assert pusher.push(http, 0).status_code == 201
    assert server.stop() == 0
    server.start()
    found = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert found["steps"] == [0, 1, 2, 3]
    assert pusher.push(http, 0).status_code == 200
