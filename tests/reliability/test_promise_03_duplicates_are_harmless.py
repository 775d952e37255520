"""The same push by eight callers at once is stored exactly once, and so for ever after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import httpx
import msgpack
import numpy as np
import pytest

from tests.databases import POSTGRES
from tests.reliability.counts import times
from tests.servers import Server, two_servers

pytestmark = pytest.mark.sqlite_in_brief

CALLERS = 8
PUSHES = times(15, 150)


def frame(number: int) -> bytes:
    steps = np.array([2 * number, 2 * number + 1])
    return msgpack.packb(
        {
            "steps": steps.astype("<i8").tobytes(),
            "scalars": {"loss": (steps + 0.5).astype("<f8").tobytes()},
        }
    )


def statuses(push: Callable[[int], httpx.Response]) -> list[Counter[int]]:
    """Every push by all callers at once; how often each status was answered."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return [
            Counter(answer.status_code for answer in pool.map(push, [number] * CALLERS))
            for number in range(PUSHES)
        ]


def check(http: httpx.Client, run: str) -> None:
    found = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert found["steps"] == list(range(2 * PUSHES))
    assert found["values"] == [step + 0.5 for step in found["steps"]]


def test_a_frame_sent_eight_times_at_once_is_stored_once(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "duplicates"}).json()["id"]

    def put(number: int) -> httpx.Response:
        return http.put(
            f"/runs/{run}/writers/w/frames/{number}",
            content=frame(number),
            headers={"content-type": "application/msgpack"},
        )

    assert statuses(put) == [{201: 1, 200: CALLERS - 1}] * PUSHES
    check(http, run)
    server.restart()
    assert [put(number).status_code for number in (0, PUSHES - 1)] == [200, 200]
    check(http, run)


def test_steps_under_one_key_sent_eight_times_at_once_are_stored_once(http: httpx.Client):
    run = http.post("/runs", json={"project": "duplicates"}).json()["id"]

    def post(number: int) -> httpx.Response:
        steps = [{"step": 2 * number + i, "loss": 2 * number + i + 0.5} for i in range(2)]
        return http.post(
            f"/runs/{run}/steps",
            json={"steps": steps},
            headers={"idempotency-key": f"push-{number}"},
        )

    assert statuses(post) == [{201: 1, 200: CALLERS - 1}] * PUSHES
    check(http, run)


@pytest.mark.parametrize("backend", [POSTGRES])
def test_a_frame_sent_eight_times_at_once_to_two_replicas_is_stored_once(
    database_url: str, tmp_path: Path
):
    with (
        two_servers(database_url, tmp_path) as replicas,
        httpx.Client(base_url=replicas[0].api, timeout=30, trust_env=False) as http,
    ):
        doors = cycle(server.api for server in replicas)
        run = http.post("/runs", json={"project": "duplicates"}).json()["id"]

        def put(number: int) -> httpx.Response:
            return http.put(
                f"{next(doors)}/runs/{run}/writers/w/frames/{number}",
                content=frame(number),
                headers={"content-type": "application/msgpack"},
            )

        assert statuses(put) == [{201: 1, 200: CALLERS - 1}] * PUSHES
        check(http, run)
