"""Eleven kinds of network fault between the real client and a real server: nothing lost, nothing
doubled."""

from __future__ import annotations

import httpx
import pytest

from gradwatch.buffer import Counts
from tests.reliability.bad_network import KINDS, bad_network
from tests.reliability.books import reporting, steps_on
from tests.reliability.counts import times
from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

BATCHES = times(150, 2_000)
SHARE = 0.3
CLIENT_PATIENCE_SECONDS = 0.2
DEADLINE_SECONDS = 60.0 + BATCHES / 10


@pytest.mark.timeout(2 * DEADLINE_SECONDS)
def test_every_kind_of_fault_between_client_and_server_loses_and_doubles_nothing(
    server: Server, http: httpx.Client
):
    with (
        bad_network(server.port, SHARE, 2 * CLIENT_PATIENCE_SECONDS) as network,
        reporting(
            network.url,
            frame_records=1,
            queue_records=BATCHES,
            backoff_base_seconds=0.01,
            backoff_cap_seconds=0.05,
            request_timeout_seconds=CLIENT_PATIENCE_SECONDS,
        ) as job,
    ):
        job.log(BATCHES)
        assert job.settle(DEADLINE_SECONDS) == Counts(observed=BATCHES, stored=BATCHES)
        assert steps_on(http, job.run) == job.logged
    assert network.struck.keys() == set(KINDS), "every kind of fault must have struck"
    run = http.get(f"/runs/{job.run.id}").json()
    assert (run["state"], run["degraded"]) == ("finished", None)
