"""``GET /events`` without a socket: what it answers, refuses, and is counted as."""

from __future__ import annotations

import uuid
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from gradwatch_service.store import pulse
from tests.service.api.conftest import Api, problem, served
from tests.service.api.test_metrics import requests, scrape, value

PATH = "/api/v1/events"


async def listen(api: Api, query: str = "", seconds: float = 5.0) -> tuple[list[Any], bytes]:
    """The start of an answer and its first text with an id, then hang up."""
    started: list[Any] = []
    text = b""
    gone = anyio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal text
        if message["type"] == "http.response.start":
            started.append(message)
        text += message.get("body", b"")
        if b"id: " in text:
            gone.set()

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": PATH, "raw_path": PATH.encode(),
        "query_string": query.encode(), "headers": [(b"host", b"test")],
        "client": ("test", 1), "server": ("test", 80), "root_path": "",
    }  # fmt: skip
    with anyio.fail_after(seconds):
        await api.app(scope, receive, send)
    return started, text


def heard(api: Api, query: str = "") -> tuple[list[Any], bytes]:
    return api.portal.call(partial(listen, api, query, 30.0))


def test_a_stream_says_how_to_come_back_and_is_not_kept(api: Api):
    (start,), text = heard(api)
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert text.startswith(b"retry: 2000\n\n: still here\nid: 1")
    assert text.endswith(b"\n\n")


def test_a_stream_of_one_run_can_be_had(api: Api):
    run = api.new_run().removeprefix("/runs/")
    (start,), _ = heard(api, f"run={run}")
    assert start["status"] == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"run": str(uuid.uuid4())}, (404, "not-found")),
        ({"run": "nonsense"}, (422, "invalid")),
        ({"since": "-1"}, (422, "invalid")),
        ({"surprise": "1"}, (422, "invalid")),
    ],
)
def test_what_makes_no_sense_is_refused(api: Api, query: dict[str, str], said: tuple[int, str]):
    assert problem(api.get("/events", **query)) == said


def test_a_run_is_not_of_another_project(api: Api):
    run = api.new_run().removeprefix("/runs/")
    assert problem(api.get("/events", run=run, project="other")) == (404, "not-found")


def test_a_stream_is_counted_by_how_long_it_took_to_begin(tmp_path: Path):
    with served(tmp_path) as api:
        heard(api)
        found = scrape(api)
        assert requests(found, "GET", PATH, "200") == 1
        name = "gradwatch_http_request_seconds_bucket"
        labels = {"method": "GET", "route": PATH, "status": "200"}
        assert value(found, name, le="1.0", **labels) == 1
        assert value(found, "gradwatch_live_streams") == 0


def test_nobody_asks_the_database_when_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    looks = []

    def counted(*given: Any) -> pulse.Look:
        looks.append(given)
        return look(*given)

    look = pulse.look
    monkeypatch.setattr(pulse, "look", counted)
    with served(tmp_path) as api:
        api.new_run()
        assert looks == []
        heard(api)
        live = api.app.state.live

        async def watcher_ends() -> None:
            with anyio.fail_after(30):
                await live._watching

        api.portal.call(watcher_ends)
        assert looks


def test_a_service_that_stops_lets_nobody_in(tmp_path: Path):
    with served(tmp_path) as api:
        api.portal.call(api.app.state.live.close)
        assert problem(api.get("/events")) == (503, "unavailable")
