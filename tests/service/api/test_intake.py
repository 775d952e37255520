"""The gate alone, in front of a route that returns what it sees."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gradwatch_service.api.intake import Intake
from gradwatch_service.settings import Settings
from gradwatch_service.web.site import refusal

LIMITS = {
    "body_bytes_max": 2_000,
    "inflated_bytes_max": 50_000,
    "inflation_ratio_max": 10,
    "inflation_free_bytes": 10_000,
    "bytes_in_flight_max": 60_000,
    "requests_in_flight_max": 3,
    "body_deadline_seconds": 0.05,
}


@dataclass
class Room:
    """Behind the gate: requests to ``/api/wait`` arrive here and stay until the room opens."""

    arrived: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, request: Request) -> Response:
        self.arrived.release()
        await self.opened.wait()
        return await echo(request)


async def everybody(scope: Scope) -> None:
    del scope


async def echo(request: Request) -> Response:
    return Response(await request.body())


def gate(room: Room | None = None, **changes: float) -> Intake:
    wait = (room or Room()).wait
    targets = {"/api/echo": echo, "/api/wait": wait, "/outside": echo}
    routes = [Route(path, target, methods=["GET", "POST"]) for path, target in targets.items()]
    return Intake(Starlette(routes=routes), Settings(**{**LIMITS, **changes}), everybody, refusal)


def client(app: Intake) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def post(body: bytes | AsyncIterator[bytes], *, path: str = "/api/echo", **headers: str):
    async def send() -> httpx.Response:
        async with client(gate()) as http:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            return await http.post(path, content=body, headers=given)

    return asyncio.run(send())


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == response.status_code
    return response.status_code, response.json()["code"]


def test_hands_over_a_plain_body():
    assert post(b"x" * 2_000).content == b"x" * 2_000


def test_hands_over_a_body_that_came_in_pieces_as_one():
    assert post(chunks(b"abc", b"", b"def")).content == b"abcdef"


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)]
)
def test_hands_over_an_inflated_body(encoding, compress):
    body = bytes(range(256)) * 30
    assert post(compress(body), content_encoding=encoding).content == body


def test_identity_is_no_encoding():
    assert post(b"abc", content_encoding="identity").content == b"abc"


def test_judges_the_declared_length_before_reading():
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    assert problem(post(never(), content_length="2001")) == (413, "too-large")


def test_judges_a_body_of_undeclared_length_while_it_comes():
    assert problem(post(chunks(b"x" * 1_500, b"x" * 1_500))) == (413, "too-large")


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_refuses_a_ratio_that_only_a_bomb_has(compress):
    encoding = "gzip" if compress is gzip.compress else "zstd"
    response = post(compress(bytes(10_001)), content_encoding=encoding)
    assert problem(response) == (413, "inflates-too-large")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip, zstd", "x-nonsense"])
def test_refuses_other_encodings_and_layers_of_them(encoding):
    response = post(b"abc", content_encoding=encoding)
    assert problem(response) == (415, "unsupported-encoding")
    assert response.headers["accept-encoding"] == "zstd, gzip"


def test_a_body_that_does_not_come_is_given_up():
    async def slow() -> AsyncIterator[bytes]:
        yield b"abc"
        await asyncio.Event().wait()

    response = post(slow())
    assert problem(response) == (503, "slow-body")
    assert response.headers["retry-after"] == "1"


def test_a_caller_who_hangs_up_costs_nothing():
    async def hang_up() -> list[object]:
        sent: list[object] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            sent.append(message)

        scope = {"type": "http", "path": "/api/echo", "method": "POST", "headers": []}
        await gate()(scope, receive, send)
        return sent

    assert asyncio.run(hang_up()) == []


def test_too_many_requests_at_once_are_turned_away_until_one_is_answered():
    async def crowd() -> tuple[list[int], int]:
        room = Room()
        async with client(gate(room, body_deadline_seconds=5)) as http:
            waiting = [asyncio.create_task(http.post("/api/wait")) for _ in range(3)]
            for _ in waiting:
                await room.arrived.acquire()
            turned_away = await http.post("/api/echo")
            health = await http.get("/outside")
            assert problem(turned_away) == (503, "overloaded")
            assert turned_away.headers["retry-after"] == "1"
            assert health.status_code == 200
            room.opened.set()
            answers = [(await task).status_code for task in waiting]
            return answers, (await http.post("/api/echo")).status_code

    assert asyncio.run(crowd()) == ([200, 200, 200], 200)


def test_too_many_bytes_at_once_are_turned_away_and_given_back():
    async def crowd() -> list[int]:
        room = Room()
        app = gate(room, bytes_in_flight_max=3_000, body_deadline_seconds=5)
        async with client(app) as http:
            waiting = asyncio.create_task(http.post("/api/wait", content=b"x" * 2_000))
            await room.arrived.acquire()
            turned_away = await http.post("/api/echo", content=b"x" * 1_001)
            fits = await http.post("/api/echo", content=b"x" * 1_000)
            room.opened.set()
            first = await waiting
            again = await http.post("/api/echo", content=b"x" * 1_001)
            return [item.status_code for item in (turned_away, fits, first, again)]

    assert asyncio.run(crowd()) == [503, 200, 200, 200]


def test_behind_the_gate_a_caller_that_leaves_is_still_noticed():
    async def leave() -> list[str]:
        heard: list[str] = []

        async def patient(scope: Scope, receive: Receive, send: Send) -> None:
            del scope, send
            heard.extend([(await receive())["type"] for _ in range(2)])

        sent = iter([{"type": "http.request", "body": b"x"}, {"type": "http.disconnect"}])

        async def receive() -> Message:
            return next(sent)

        async def unheard(message: Message) -> None:
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": "/api/echo", "headers": []}
        await Intake(patient, Settings(**LIMITS), everybody, refusal)(scope, receive, unheard)
        return heard

    assert asyncio.run(leave()) == ["http.request", "http.disconnect"]
