"""The real server's connections, with short deadlines: who is hung up on, and what it is told."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import pytest

from gradwatch_service.api.connection import HEADERS_MAX, PIPELINED_MAX
from tests.servers import Server

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
DEADLINES = {"HEADER": "0.5", "BODY": "0.5", "ANSWER": "0.5"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("connections")
    given = {f"GRADWATCH_{name}_DEADLINE_SECONDS": value for name, value in DEADLINES.items()}
    running = Server(
        f"sqlite:///{folder}/gradwatch.db", folder / "server.log", environment=given
    ).start()
    yield running
    running.kill()


@pytest.fixture
def caller(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


def heard(caller: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    return b"".join(iter(lambda: caller.recv(2**16), b""))


def answer(caller: socket.socket) -> bytes:
    """One answer of /healthz, after which the connection is kept."""
    got = b""
    while not got.endswith(b"}"):
        more = caller.recv(2**16)
        assert more, got
        got += more
    return got


def answers(caller: socket.socket) -> list[int]:
    return [int(one[:3]) for one in heard(caller).split(b"HTTP/1.1 ")[1:]]


def test_a_head_that_does_not_come_is_answered_with_a_problem(caller: socket.socket):
    caller.sendall(GET)
    head, _, body = heard(caller).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"application/problem+json" in head
    assert b"connection: close" in head
    assert json.loads(body)["code"] == "too-slow"


def test_a_head_that_comes_in_time_is_served_again_and_again(caller: socket.socket):
    for _ in range(5):
        time.sleep(0.2)
        for part in (GET, b"\r\n"):
            caller.sendall(part)
        assert answer(caller).startswith(b"HTTP/1.1 200 ")


def test_an_idle_connection_is_kept(caller: socket.socket):
    for _ in range(2):
        caller.sendall(GET + b"\r\n")
        assert answer(caller).startswith(b"HTTP/1.1 200 ")
        time.sleep(1.2)  # longer than a head may take


def test_an_empty_line_begins_to_count(caller: socket.socket):
    caller.sendall(GET + b"\r\n")
    assert answer(caller).startswith(b"HTTP/1.1 200 ")
    caller.sendall(b"\r\n")
    assert answers(caller) == [408]


def test_what_is_no_http_gets_a_problem(caller: socket.socket):
    caller.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    assert answers(caller) == [400]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_a_head_has_so_many_headers(caller: socket.socket, more: int, status: int):
    headers = b"X: 1\r\n" * (HEADERS_MAX - 2 + more)
    caller.sendall(GET + b"Connection: close\r\n" + headers + b"\r\n")
    assert answers(caller) == [status]


@pytest.mark.parametrize(("size", "status"), [(60_000, 200), (66_000, 431)])
def test_a_head_has_so_many_bytes(caller: socket.socket, size: int, status: int):
    caller.sendall(GET + b"Connection: close\r\nX: " + b"1" * size + b"\r\n\r\n")
    assert answers(caller) == [status]


def test_requests_sent_ahead_are_answered_in_turn(caller: socket.socket):
    ahead = PIPELINED_MAX // 2
    caller.sendall((GET + b"\r\n") * ahead + GET + b"Connection: close\r\n\r\n")
    assert answers(caller) == [200] * (ahead + 1)


def test_too_many_sent_ahead_are_hung_up_on(caller: socket.socket):
    caller.sendall((GET + b"\r\n") * PIPELINED_MAX * 3)
    assert len(answers(caller)) < PIPELINED_MAX * 3


def test_a_body_that_does_not_come_is_told_so_and_hung_up_on(caller: socket.socket):
    caller.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    assert answers(caller) == [503]
