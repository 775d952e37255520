"""Callers who never come to an end are hung up on in time; the others do not notice them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.reliability.counts import FULL, times
from tests.reliability.slow_callers import LOOPBACK, GoodCaller, SlowCaller, all_held
from tests.servers import COMMAND, Server, poll

SOCKETS = times(210, 1_000)
HEAD_SECONDS, BODY_SECONDS = times(3, 10), times(5, 30)
LATEST_SECONDS = 2.0  # after the deadline
GOOD_P99_SECONDS = 0.25
READERS = times(20, 60)
TAKE_SECONDS = times(3, 30)
ANSWER_BYTES = 4_000_000
ROUNDS = 3
MIB = 2**20

POST = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
OF_HEADS = (
    SlowCaller("says nothing"),
    SlowCaller("half a line", b"GE"),
    SlowCaller("a line, letter by letter", b"GET /", b"a"),
    SlowCaller("headers without end", GET, b"X-More: 1\r\n"),
    SlowCaller("one header without end", GET + b"X-More: ", b"1"),
    SlowCaller("empty lines", b"", b"\r\n"),
    SlowCaller("half a second request", GET + b"\r\n" + GET, b"X: 1\r\n"),
)
OF_BODIES = (
    SlowCaller("no body", POST + b"Content-Length: 100\r\n\r\n"),
    SlowCaller("a body byte by byte", POST + b"Content-Length: 4000000\r\n\r\n{", b" "),
    SlowCaller("chunks without end", POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    SlowCaller(
        "trailers without end", POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: 1\r\n"
    ),
    SlowCaller("a body nobody wants", GET + b"Content-Length: 4000000\r\n\r\n", b" "),
    SlowCaller("a body that was refused", POST + b"Content-Length: 40000000\r\n\r\n", b" " * 1_000),
)


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    deadlines = {} if FULL else {
        "GRADWATCH_HEADER_DEADLINE_SECONDS": str(HEAD_SECONDS),
        "GRADWATCH_BODY_DEADLINE_SECONDS": str(BODY_SECONDS),
        "GRADWATCH_ANSWER_DEADLINE_SECONDS": str(TAKE_SECONDS),
    }  # fmt: skip
    log = tmp_path / "server.log"  # by the command: its memory is measured
    running = Server(database_url, log, program=COMMAND, environment=deadlines).start()
    yield running
    running.kill()


def path_of_new_run(http: httpx.Client) -> str:
    run = http.post("/runs", json={"project": "slow"}).json()["id"]
    return f"/api/v1/runs/{run}/steps"


@pytest.mark.parametrize(
    ("callers", "deadline"),
    [(OF_HEADS, HEAD_SECONDS), (OF_BODIES, BODY_SECONDS)],
    ids=["heads", "bodies"],
)
def test_half_open_connections_are_closed_and_good_callers_do_not_notice(
    callers: tuple[SlowCaller, ...], deadline: int, server: Server, http: httpx.Client
):
    crowd = [callers[number % len(callers)] for number in range(SOCKETS)]
    good = GoodCaller(server.port, path_of_new_run(http))
    with good.calling():
        held = all_held(server.port, crowd)
    late = [one for one in held if one.seconds_at_least > deadline + LATEST_SECONDS]
    early = [one for one in held if one.seconds_at_most < 0.8 * deadline]
    last = max(one.seconds_at_most for one in held)
    print(f"{SOCKETS} sockets, the last closed after {last:.1f} s")
    print(f"{len(good.seconds)} good requests, p99 {1000 * good.p99:.0f} ms")
    assert not late
    assert not early
    assert good.statuses == {201}
    assert good.p99 <= GOOD_P99_SECONDS


ENDLESS_HEADS = {
    "one header": (b"X-More: ", b"1" * 4_096),
    "many headers": (b"", b"X: 1\r\n" * 100),
    "one address": (b"", b"a" * 4_096),
}
FLOOD_BYTES = 64 * 2**20


@pytest.mark.parametrize("kind", ENDLESS_HEADS)
def test_a_head_without_end_is_refused_before_it_fills_the_memory(kind: str, server: Server):
    first, more = ENDLESS_HEADS[kind]
    opening = b"GET /" if kind == "one address" else GET + first
    with socket.create_connection((LOOPBACK, server.port), timeout=5) as caller:
        sent = flood(caller, opening, more)
        assert sent < FLOOD_BYTES / 4
        assert caller.recv(100).startswith(b"HTTP/1.1 431 ") or kind == "one address"


def test_trailers_without_end_are_refused_before_they_fill_the_memory(server: Server):
    opening = POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-More: "
    with socket.create_connection((LOOPBACK, server.port), timeout=5) as caller:
        assert flood(caller, opening, b"1" * 4_096) < FLOOD_BYTES / 4


def flood(caller: socket.socket, opening: bytes, more: bytes) -> int:
    """Send without end; returns how many bytes went out before the server hung up."""
    sent = caller.send(opening)
    try:
        while sent < FLOOD_BYTES:
            caller.sendall(more)
            sent += len(more)
    except ConnectionError:
        pass
    return sent


def test_requests_sent_ahead_without_end_are_not_all_kept(server: Server):
    with socket.create_connection((LOOPBACK, server.port), timeout=5) as caller:
        assert flood(caller, b"", (GET + b"\r\n") * 2_000) < FLOOD_BYTES
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200


def test_a_caller_who_does_not_take_its_answers_is_dropped_with_them(
    server: Server, http: httpx.Client
):
    config = {"text": "t" * ANSWER_BYTES}
    run = http.post("/runs", json={"project": "large", "config": config}).json()["id"]
    path = f"/api/v1/runs/{run}"
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    left = [rss_after_nobody_took(process, server.port, path) for _ in range(ROUNDS)]
    print(f"{READERS} callers took nothing of 4 MB, {ROUNDS} times; MiB left: {left}")
    assert left[-1] - left[0] < READERS * ANSWER_BYTES / MIB
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200


def rss_after_nobody_took(process: psutil.Process, port: int, path: str) -> int:
    """The server's memory in MiB after it has hung up on callers who take nothing."""
    with sockets(port) as callers:
        for caller in callers:
            ask(caller, path)
        poll(lambda: connections(process, port) > READERS / 2, "they are served")
        poll(lambda: connections(process, port) <= 1, "all are hung up on", 3 * TAKE_SECONDS + 10)
    return int(process.memory_info().rss / MIB)


@contextlib.contextmanager
def sockets(port: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((LOOPBACK, port))) for _ in range(READERS)
        ]


def ask(caller: socket.socket, path: str) -> None:
    caller.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())


def connections(process: psutil.Process, port: int) -> int:
    return sum(
        one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
        for one in process.net_connections("tcp")
    )
