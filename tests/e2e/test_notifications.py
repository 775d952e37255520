"""From curl to a Slack-style webhook: a run explodes, and a real receiver is told once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.receivers import Receiver
from tests.servers import Server, poll

CHANNELS = "/projects/notified/channels"
DELIVERIES = "/projects/notified/deliveries"


@pytest.fixture
def server(database_url: str, tmp_path: Path, receiver: Receiver) -> Iterator[Server]:
    environment = {
        "GRADWATCH_OUTGOING_ALLOW": receiver.url.removeprefix("http://"),
        "GRADWATCH_GROUP_WAIT_SECONDS": "0.5",
        "GRADWATCH_PUBLIC_URL": "https://watch.example",
    }
    running = Server(database_url, tmp_path / "server.log", environment=environment).start()
    yield running
    running.kill()


def steps(first: int, count: int, loss: float | str) -> dict[str, object]:
    return {"steps": [{"step": first + step, "loss": loss} for step in range(count)]}


def test_an_explosion_and_its_end_are_told_once_each(
    server: Server, http: httpx.Client, receiver: Receiver
):
    wanted = {"name": "ops", "kind": "slack", "settings": {"url": f"{receiver.url}/hook"}}
    assert http.post(CHANNELS, json=wanted).status_code == 201
    run = http.post("/runs", json={"project": "notified", "name": "resnet"}).json()["id"]
    assert http.post(f"/runs/{run}/steps", json=steps(0, 40, 1.0)).status_code == 201
    assert http.post(f"/runs/{run}/steps", json=steps(40, 4, "NaN")).status_code == 201
    poll(lambda: len(receiver.received) == 1, "somebody is told")
    told = receiver.received[0].body.decode()
    assert "resnet" in told
    assert f"https://watch.example/runs/{run}" in told
    ended = http.post(f"/runs/{run}/finish", json={"state": "finished"})
    assert ended.status_code == 200
    poll(lambda: len(receiver.received) == 2, "somebody is told that it is over")
    assert "RESOLVED" in receiver.received[1].body.decode().upper()

    def sent() -> list[tuple[str, str]]:
        items = http.get(DELIVERIES).json()["items"]
        return [(one["kind"], one["state"]) for one in items]

    poll(lambda: sent() == [("resolved", "sent"), ("firing", "sent")], "both are settled")
    assert http.get(f"{server.url}/readyz").json()["status"] == "ok"
    assert len(receiver.received) == 2
