"""Server-sent events as a client hears them: read in a thread, parsed as the standard says."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.servers import poll


@dataclass(frozen=True)
class Event:
    """One event; ``id``: the last id that was sent up to it."""

    name: str
    data: Any
    id: str | None


@dataclass
class Heard:
    """What one stream has sent so far; ``last_id`` is what a browser would come back with."""

    status: int = 0
    events: list[Event] = field(default_factory=list)
    last_id: str | None = None
    comments: int = 0
    is_over: bool = False

    def of(self, name: str) -> list[Any]:
        """The data of all events of a name, in order."""
        return [one.data for one in list(self.events) if one.name == name]

    def has_begun(self) -> bool:
        return self.last_id is not None

    def wait_for_start(self) -> None:
        poll(self.has_begun, "the stream has an id")

    def take(self, block: list[str]) -> None:
        """One block of lines, up to an empty one."""
        found: dict[str, str] = {}
        for line in block:
            name, _, value = line.partition(":")
            if name:
                found[name] = value.removeprefix(" ")
            else:
                self.comments += 1
        self.last_id = found.get("id", self.last_id)
        if "data" in found:
            self.events.append(
                Event(found.get("event", "message"), json.loads(found["data"]), self.last_id)
            )


@contextmanager
def hearing(
    api: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Iterator[Heard]:
    """Listen to ``GET /events`` below this address until the block ends."""
    heard = Heard()
    with httpx.Client(timeout=30, trust_env=False) as http:
        request = http.build_request("GET", f"{api}/events", params=query, headers=headers)
        answer = http.send(request, stream=True)
        heard.status = answer.status_code
        thread = threading.Thread(target=_read, args=(answer, heard))
        thread.start()
        try:
            yield heard
        finally:
            _hang_up(answer)
            thread.join()


def _hang_up(answer: httpx.Response) -> None:
    """Wakes whoever reads, too."""
    connection: socket.socket = answer.extensions["network_stream"].get_extra_info("socket")
    with suppress(OSError):  # it may be closed already
        connection.shutdown(socket.SHUT_RDWR)


def _read(answer: httpx.Response, heard: Heard) -> None:
    block: list[str] = []
    with suppress(httpx.HTTPError):  # hung up on, by either side
        for line in answer.iter_lines():
            if line:
                block.append(line)
            else:
                heard.take(block)
                block = []
    heard.is_over = True
    answer.close()
