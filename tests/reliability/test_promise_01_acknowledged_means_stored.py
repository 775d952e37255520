"""2xx only after a durable commit: ``kill -9`` under load loses nothing and doubles nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import msgpack
import numpy as np
import pytest

from tests.reliability.bad_network import bad_network
from tests.reliability.counts import times
from tests.servers import Server, poll

KILLS = {"sqlite": times(6, 27), "postgresql": times(4, 27)}
WRITERS = 3
STEPS_PER_FRAME = 4
ACKS_BETWEEN_KILLS = times(8, 30)
FAULTS_SHARE = 0.1  # of the requests meet a fault of the network
PATIENCE_SECONDS = 0.5
PAUSE_SECONDS = 0.1  # of a client that is not answered, so that it does not spin


@dataclass
class Pusher:
    """One client: sends until acknowledged, then the next; only an answer moves it on."""

    api: str
    run: str
    metric: str
    stop: threading.Event
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)

    def work(self) -> None:
        with httpx.Client(base_url=self.api, timeout=PATIENCE_SECONDS, trust_env=False) as http:
            while not self.stop.is_set():
                try:
                    self._settle(self.push(http, self.acknowledged))
                except httpx.TransportError:
                    self.stop.wait(PAUSE_SECONDS)

    def push(self, http: httpx.Client, number: int) -> httpx.Response:
        raise NotImplementedError

    def _settle(self, answer: httpx.Response) -> None:
        if answer.headers.get("content-type") == "text/html":
            return  # the network itself answered
        if answer.is_success:
            self.acknowledged += 1
        elif answer.status_code != 503:
            self.refused.append(answer.text)

    def steps(self, number: int) -> np.ndarray:
        return np.arange(number * STEPS_PER_FRAME, (number + 1) * STEPS_PER_FRAME)


class FramePusher(Pusher):
    def push(self, http: httpx.Client, number: int) -> httpx.Response:
        steps = self.steps(number)
        body = {
            "steps": steps.astype("<i8").tobytes(),
            "scalars": {self.metric: np.sqrt(steps).astype("<f8").tobytes()},
        }
        return http.put(
            f"/runs/{self.run}/writers/{self.metric}/frames/{number}",
            content=msgpack.packb(body),
            headers={"content-type": "application/msgpack"},
        )


class StepsPusher(Pusher):
    def push(self, http: httpx.Client, number: int) -> httpx.Response:
        steps = [{"step": int(step), self.metric: step**0.5} for step in self.steps(number)]
        return http.post(f"/runs/{self.run}/steps", json={"steps": steps})


@contextlib.contextmanager
def pushing(api: str, run: str) -> Iterator[list[Pusher]]:
    """Clients at work; when it ends, they have stopped."""
    stop = threading.Event()
    pushers: list[Pusher] = [
        FramePusher(api, run, f"w{number}", stop) for number in range(WRITERS)
    ]
    pushers.append(StepsPusher(api, run, "by_hand", stop))
    threads = [threading.Thread(target=pusher.work) for pusher in pushers]
    for thread in threads:
        thread.start()
    try:
        yield pushers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(600)
def test_kill_dash_nine_loses_and_doubles_nothing_acknowledged(
    server: Server, http: httpx.Client, backend: str
):
    run = http.post("/runs", json={"project": "kills"}).json()["id"]
    with (
        bad_network(server.port, FAULTS_SHARE, 2 * PATIENCE_SECONDS) as network,
        pushing(f"{network.url}/api/v1", run) as pushers,
    ):
        for _ in range(KILLS[backend]):
            before = [pusher.acknowledged for pusher in pushers]

            def progressed(before: list[int] = before) -> bool:
                now = (pusher.acknowledged for pusher in pushers)
                return all(a - b >= ACKS_BETWEEN_KILLS for a, b in zip(now, before, strict=True))

            poll(progressed, "every client is acknowledged enough")
            server.kill()
            server.start()
    assert network.struck, "the network must have been bad"
    assert [pusher.refused for pusher in pushers] == [[]] * len(pushers)
    for pusher in pushers:
        # At most one push was stored whose acknowledgement the kill swallowed.
        found = http.get(
            f"/runs/{run}/series", params={"metric": pusher.metric, "points": 10_000}
        ).json()
        least = pusher.acknowledged * STEPS_PER_FRAME
        assert found["total_points"] in {least, least + STEPS_PER_FRAME}
        assert found["steps"] == list(range(found["total_points"]))
        assert found["values"] == np.sqrt(found["steps"]).tolist()
    assert http.get(f"/runs/{run}").json()["degraded"] is None


def test_what_was_acknowledged_is_there_after_an_orderly_stop(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "stops"}).json()["id"]
    pusher = StepsPusher(server.api, run, "loss", threading.Event())
    assert pusher.push(http, 0).status_code == 201
    assert server.stop() == 0
    server.start()
    found = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert found["steps"] == [0, 1, 2, 3]
    assert pusher.push(http, 0).status_code == 200
