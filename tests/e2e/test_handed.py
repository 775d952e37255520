"""A real training does what a person hands to it, or says why not, and the page tells it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import gradwatch
from tests.servers import Server

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from torch import nn  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]

JUMP, LISTEN_EVERY, MOST = 100, 4, 260


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Training:
    """A regression whose learning rate is multiplied by 40 at a step; it hears all that is said."""

    def __init__(self, url: str, level: int) -> None:
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=3e-3)
        self.run = gradwatch.init("handed", f"level {level}", url=url)
        self.monitor = self.run.watch(self.model, self.optimizer, autopilot=level)
        self.step = 0

    def train(self, steps: int) -> None:
        for _ in range(steps):
            if self.step == JUMP:
                self.optimizer.param_groups[0]["lr"] *= 40
            batch = torch.randn(64, 8)
            loss = (self.model(batch) - batch.sum(1, keepdim=True)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            if self.monitor.step(loss=loss):
                self.optimizer.step()
            self.step += 1
            if self.step % LISTEN_EVERY == 0:
                assert self.run.flush(20.0)

    def until_advised(self, http: httpx.Client, klass: int) -> dict[str, Any]:
        """The last advice of this class, as soon as there is one that was not followed yet."""
        while self.step < MOST:
            self.train(LISTEN_EVERY)
            known = {one["id"] for one in self.run.actions}
            items = http.get(f"/runs/{self.run.id}/advice").json()["items"]
            fresh = [one for one in items if one["class"] == klass and one["id"] not in known]
            if fresh:
                return dict(fresh[-1])
        pytest.fail("nothing was advised")

    def did(self, advice_id: str) -> list[str]:
        return [one["status"] for one in self.run.actions if one["id"] == advice_id]


def page(server: Server, run_id: str) -> str:
    return httpx.get(f"{server.url}/runs/{run_id}", headers={"accept": "text/html"}).text


def test_a_job_does_what_is_handed_to_it_and_says_how_it_went(
    server: Server, http: httpx.Client
) -> None:
    job = Training(server.url, 2)
    item = job.until_advised(http, 2)
    answer = http.post(f"/runs/{job.run.id}/advice/{item['id']}/hand")
    assert answer.json()["handed_by"] == "local"
    assert "handed to the job by local" in page(server, job.run.id)
    job.train(4 * LISTEN_EVERY)
    assert job.did(item["id"])[0] == "applied"
    job.train(item["verify"]["within_steps"])
    assert job.did(item["id"])[1] in {"verified", "failed"}
    assert job.did(item["id"]).count("applied") == 1
    job.run.finish()
    events = http.get(f"/runs/{job.run.id}/events").json()["items"]
    said = [one["status"] for one in events[::-1] if one.get("id") == item["id"]]
    assert said == job.did(item["id"])
    items = http.get(f"/runs/{job.run.id}/advice").json()["items"]
    assert {one["handed_by"] for one in items} <= {None}


def test_a_job_that_may_not_do_it_declines_and_the_page_says_why(
    server: Server, http: httpx.Client
) -> None:
    job = Training(server.url, 1)
    item = job.until_advised(http, 2)
    assert "It will decline: it runs with autopilot=1, this needs 2." in page(server, job.run.id)
    http.post(f"/runs/{job.run.id}/advice/{item['id']}/hand")
    before = job.optimizer.param_groups[0]["lr"]
    job.train(4 * LISTEN_EVERY)
    assert job.did(item["id"]) == ["declined"]
    assert item["action"] not in job.monitor.applied
    assert job.optimizer.param_groups[0]["lr"] == before
    assert "this job runs with autopilot=1, this needs 2" in page(server, job.run.id)
    job.run.finish()
