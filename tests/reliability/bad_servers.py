"""Small real servers that are no good: they hang, hang up, babble or answer for somebody else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

HTML = b"<!doctype html><title>Log in</title>"


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


REPLIES: Mapping[str, bytes] = {
    "hangs up": b"",
    "babbles": b"\x00\xff SSH-2.0-OpenSSH_9.6\r\n\r\n" * 50,
    "stops in the head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "stops in the body": b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{",
    "claims an encoding": http("200 OK", b"no gzip", "content-encoding: gzip"),
    "is a login page": http("200 OK", HTML, "content-type: text/html"),
    "sends elsewhere": http("302 Found", b"", "location: http://127.0.0.1:9/"),
    "answers a list": http("200 OK", b"[1]", "content-type: application/json"),
    "answers wrong types": http(
        "201 Created",
        b'{"guard": {"max_norm": "x", "expires_step": []}, "alerts": 7, "advice": {}, '
        b'"rejected": -5, "layers_hash": 3}',
        "content-type: application/json",
    ),
    "answers deep JSON": http("200 OK", b"[" * 100_000),
    "wants patience": http("503 Service Unavailable", b"", "retry-after: 999999999999"),
    "wants nonsense": http("429 Too Many Requests", b"", "retry-after: soon", "date: never"),
    "breaks": http("500 Internal Server Error", b"{}"),
    "forbids": http("403 Forbidden", HTML),
    "knows nothing": http("404 Not Found", HTML),
    "conflicts": http("409 Conflict", b'{"code": "unknown-layers"}'),
    "finds all too large": http("413 Content Too Large"),
    "refuses": http("422 Unprocessable Content", b'{"code": 5, "detail": [null]}'),
}


@contextlib.contextmanager
def hanging() -> Iterator[str]:
    """Takes connections, as the kernel does, and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield _address(listener)


@contextlib.contextmanager
def replying(reply: bytes) -> Iterator[str]:
    """Answers the first bytes of every connection with the same bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=_serve, args=(listener, reply))
        thread.start()
        try:
            yield _address(listener)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(listener: socket.socket, reply: bytes) -> None:
    with contextlib.suppress(OSError):  # of accept, when the listener is shut down
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                connection.recv(1 << 20)
                connection.sendall(reply)


def _address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"
