"""A real webhook listener on loopback that remembers what it was told, and can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from typing_extensions import override

from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.message import Message
from gradwatch_service.store.channels import ChannelRow


@dataclass
class Listener:
    """``answers``: path -> status it answers from now on, 204 where nothing is said."""

    url: str
    heard: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    retry_after: str | None = None
    gate: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Event = field(default_factory=threading.Event)

    def of(self, path: str) -> list[dict[str, Any]]:
        """What was taken on a path, in order."""
        return [one for one in self.heard if one["path"] == path]


@contextmanager
def listening() -> Iterator[Listener]:
    """A listener at work; it answers only while its gate is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status = listener.answers.get(self.path, 204)
            listener.arrived.set()
            listener.gate.wait(30)
            if status < 300:
                listener.heard.append({"path": self.path, **body})
            self.send_response(status)
            if listener.retry_after is not None:
                self.send_header("retry-after", listener.retry_after)
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        listener = Listener(f"http://127.0.0.1:{server.server_port}")
        listener.gate.set()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield listener
        listener.gate.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as running:
        yield running


@dataclass(frozen=True)
class PlainWebhook:
    """The smallest channel there can be; 4xx is permanent."""

    url: str

    def deliver(self, message: Message) -> None:
        body = {
            "id": str(message.delivery_id),
            "kind": message.kind,
            "run_id": str(message.run_id),
            "run_name": message.run_name,
            "link": message.link,
            "repeats": message.repeats,
            "steps": list(message.steps),
            "firing": sorted(str(one.alert_id) for one in message.subjects if one.is_firing),
            "runs": sorted({str(one.run_id) for one in message.subjects}),
            "titles": [one.title for one in message.subjects],
            "news": sum(one.is_news for one in message.subjects),
        }
        try:
            answer = httpx.post(self.url, json=body, timeout=30, trust_env=False)
        except httpx.TransportError as error:
            raise UndeliveredError(type(error).__name__, permanent=False) from error
        if answer.is_success:
            return
        wanted = answer.headers.get("retry-after")
        raise UndeliveredError(
            f"it answered {answer.status_code}",
            permanent=answer.status_code < 500,
            retry_after_seconds=None if wanted is None else float(wanted),
        )


def open_plain(row: ChannelRow) -> PlainWebhook:
    return PlainWebhook(row.settings["url"])
