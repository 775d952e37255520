"""A job of 64 ranks explodes: mail, a webhook and Alertmanager are told once, and once of the end.

Real servers and receivers throughout; the service, and with it its worker, is killed meanwhile.
"""

from __future__ import annotations

import email
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from gradwatch_service.domain import Frame
from gradwatch_service.store import packing
from tests.receivers import Alertmanager, Mailbox, Receiver, mail_server
from tests.reliability.counts import times
from tests.servers import Server, poll
from tests.service.ingest.rig import LAYERS
from tests.service.ingest.training import BREAKS, exploding
from tests.streams import cut

RANKS = 64
DEADLINE_SECONDS = 90.0  # who is killed while telling has the message for half a minute
KILLS = times(2, 12)
PROJECT = "big"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMgbG9uZy4="


@dataclass
class Job:
    """The ranks, which push to a service that is killed between their pushes."""

    server: Server
    run: str = ""
    pushed: int = 0

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.server.api, timeout=60, trust_env=False)

    def begin(self) -> None:
        layers = [layer.as_json() for layer in LAYERS.layers]
        body = {"project": PROJECT, "name": "llama", "layers": layers}
        with self.http() as http:
            self.run = http.post("/runs", json=body).raise_for_status().json()["id"]

    def push(self, parts: list[Frame]) -> None:
        """A frame of each rank."""
        with self.http() as http:
            for rank, part in enumerate(parts):
                http.put(
                    f"/runs/{self.run}/writers/rank-{rank}/frames/{self.pushed}",
                    content=packing.pack(part),
                    headers={"content-type": "application/msgpack"},
                ).raise_for_status()
        self.pushed += 1

    def finish(self) -> None:
        with self.http() as http:
            http.post(f"/runs/{self.run}/finish", json={"state": "finished"}).raise_for_status()

    def alerts(self) -> list[dict[str, object]]:
        with self.http() as http:
            found: list[dict[str, object]] = http.get("/alerts", params={"run": self.run}).json()[
                "items"
            ]
        return found


@dataclass
class Heard:
    """What arrived, each message once: those that came twice have the same id."""

    mailbox: Mailbox
    hook: Receiver
    alertmanager: Alertmanager

    def mails(self) -> list[str]:
        taken = (
            email.message_from_bytes(one.original_content or b"") for one in self.mailbox.taken
        )
        return list({one["Message-ID"]: str(one["Subject"]) for one in taken}.values())

    def webhooks(self) -> list[str]:
        return list(
            {one.headers["webhook-id"]: one.json["type"] for one in self.hook.received}.values()
        )

    def changes(self) -> set[tuple[str, str]]:
        """Which alerts Alertmanager told its receiver of, that they fire or are over."""
        return {(labels["alert_id"], status) for status, labels in self.alertmanager.told()}

    def of_alertmanager(self, *states: str) -> bool:
        """Whether each alert went through these states, and through no others."""
        changes = self.changes()
        wanted = {(alert_id, state) for alert_id, _ in changes for state in states}
        return bool(wanted) and changes == wanted

    def total(self) -> int:
        """Of all receivers together."""
        receivers = (self.hook.received, self.alertmanager.receiver.received)
        return len(self.mailbox.taken) + sum(map(len, receivers))


@pytest.fixture
def heard(receiver: Receiver, alertmanager: Alertmanager) -> Iterator[Heard]:
    with mail_server() as mailbox:
        yield Heard(mailbox, receiver, alertmanager)


@pytest.fixture
def server(database_url: str, tmp_path: Path, heard: Heard) -> Iterator[Server]:
    inside = [f"127.0.0.1:{heard.mailbox.port}", heard.hook.url, heard.alertmanager.url]
    environment = {
        "GRADWATCH_OUTGOING_ALLOW": ",".join(one.removeprefix("http://") for one in inside),
        "GRADWATCH_GROUP_WAIT_SECONDS": "1",
    }
    running = Server(database_url, tmp_path / "server.log", environment=environment).start()
    yield running
    running.kill()


def tell(server: Server, heard: Heard) -> None:
    """Three channels."""
    channels = {
        "email": {
            "host": "127.0.0.1",
            "port": heard.mailbox.port,
            "security": "none",
            "sender": "gradwatch@example.org",
            "to": ["team@example.org"],
        },
        "webhook": {"url": f"{heard.hook.url}/hook", "secret": SECRET},
        "alertmanager": {"url": heard.alertmanager.url},
    }
    with httpx.Client(base_url=server.api, trust_env=False) as http:
        for kind, settings in channels.items():
            wanted = {"kind": kind, "name": kind, "settings": settings}
            made = http.post(f"/projects/{PROJECT}/channels", json=wanted)
            assert made.status_code == 201, made.text


def kill_now_and_then(server: Server, heard: Heard, before: int, seed: int) -> None:
    """By chance, and the second time as soon as more is heard than was before."""
    chance = np.random.default_rng(seed)
    for number in range(KILLS):
        if number == 1:
            poll(lambda: heard.total() > before, "somebody is told", DEADLINE_SECONDS)
        else:
            time.sleep(float(chance.uniform(0.1, 1.5)))
        server.kill()
        server.start()


@pytest.mark.alertmanager
@pytest.mark.sqlite_in_brief
def test_everybody_is_told_once_of_the_explosion_and_once_of_its_end(server: Server, heard: Heard):
    tell(server, heard)
    job = Job(server)
    job.begin()
    before, after = zip(*(cut(exploding(rank), [BREAKS]) for rank in range(RANKS)), strict=True)
    job.push(list(before))
    assert not job.alerts()
    job.push(list(after))
    assert {one["state"] for one in job.alerts() if one["actionable"]} == {"firing"}
    kill_now_and_then(server, heard, before=0, seed=1)
    poll(lambda: len(heard.mails()) == 1, "there is mail", DEADLINE_SECONDS)
    poll(lambda: heard.webhooks() == ["alert.firing"], "the webhook is called", DEADLINE_SECONDS)
    poll(
        lambda: heard.of_alertmanager("firing"), "Alertmanager tells its receiver", DEADLINE_SECONDS
    )
    time.sleep(2)  # nothing more comes
    assert (len(heard.mails()), heard.webhooks()) == (1, ["alert.firing"])
    before = heard.total()
    job.finish()
    kill_now_and_then(server, heard, before, seed=2)
    poll(lambda: len(heard.mails()) == 2, "there is mail of the end", DEADLINE_SECONDS)
    poll(
        lambda: heard.webhooks() == ["alert.firing", "alert.resolved"],
        "the webhook is called",
        DEADLINE_SECONDS,
    )
    poll(
        lambda: heard.of_alertmanager("firing", "resolved"),
        "Alertmanager tells of the end",
        DEADLINE_SECONDS,
    )
    time.sleep(2)
    assert (len(heard.mails()), len(heard.webhooks())) == (2, 2)
    assert heard.of_alertmanager("firing", "resolved"), heard.changes()
    told = {alert_id for alert_id, _ in heard.changes()}
    assert told >= {str(one["id"]) for one in job.alerts() if one["actionable"]}
    assert len(heard.mailbox.taken) <= 2 + 2 * KILLS
    assert len(heard.hook.received) <= 2 + 2 * KILLS
