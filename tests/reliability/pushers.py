"""Clients without a queue, which push until they are acknowledged, and what must be stored then."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import httpx
import msgpack
import numpy as np

WRITERS = 3
STEPS_PER_FRAME = 4
PATIENCE_SECONDS = 0.5
PAUSE_SECONDS = 0.1  # of a client that is not answered, so that it does not spin


@dataclass
class Pusher:
    """One client: sends until acknowledged, then the next, to one server after the other."""

    apis: Sequence[str]
    run: str
    metric: str
    stop: threading.Event
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)

    def work(self) -> None:
        with contextlib.ExitStack() as stack:
            doors = [stack.enter_context(_client(api)) for api in self.apis]
            for http in itertools.cycle(doors):
                if self.stop.is_set():
                    return
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
def pushing(apis: Sequence[str], run: str) -> Iterator[list[Pusher]]:
    """Clients at work; when it ends, they have stopped."""
    stop = threading.Event()
    pushers: list[Pusher] = [
        FramePusher(apis, run, f"w{number}", stop) for number in range(WRITERS)
    ]
    pushers.append(StepsPusher(apis, run, "by_hand", stop))
    threads = [threading.Thread(target=pusher.work) for pusher in pushers]
    for thread in threads:
        thread.start()
    try:
        yield pushers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def progress(pushers: Sequence[Pusher], acknowledgements: int) -> Callable[[], bool]:
    """Whether every client has so many acknowledgements more than now."""
    goals = [pusher.acknowledged + acknowledgements for pusher in pushers]
    return lambda: all(
        pusher.acknowledged >= goal for pusher, goal in zip(pushers, goals, strict=True)
    )


def check_stored(http: httpx.Client, run: str, pushers: Sequence[Pusher]) -> None:
    """Everything acknowledged is there once, and whole; nothing was refused or broken.

    At most one push of each was stored whose acknowledgement was lost.
    """
    assert [pusher.refused for pusher in pushers] == [[]] * len(pushers)
    for pusher in pushers:
        asked = {"metric": pusher.metric, "points": 10_000}
        found = http.get(f"/runs/{run}/series", params=asked).json()
        least = pusher.acknowledged * STEPS_PER_FRAME
        assert found["total_points"] in {least, least + STEPS_PER_FRAME}
        assert found["steps"] == list(range(found["total_points"]))
        assert found["values"] == np.sqrt(found["steps"]).tolist()
    assert http.get(f"/runs/{run}").json()["degraded"] is None


def _client(api: str) -> httpx.Client:
    return httpx.Client(base_url=api, timeout=PATIENCE_SECONDS, trust_env=False)
