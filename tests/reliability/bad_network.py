"""A bad network: a TCP proxy that breaks a share of the requests in every way a network can."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.reliability.bad_servers import HTML, http

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST
REFUSING_SECONDS = 0.05
PORTAL = http("200 OK", HTML, "content-type: text/html")
GARBAGE = b"\x16\x03\x01\x00\xff HTTP?\r\n\r\n" * 20


class BrokenError(Exception):
    """This connection is over."""


@dataclass
class Exchange:
    """One request on its way: ``head`` and ``body`` were read from the client."""

    client: socket.socket
    server: socket.socket
    head: bytes
    body: bytes

    def forward(self) -> bytes:
        """Hand the request on and return the whole answer."""
        self.server.sendall(self.head + self.body)
        head, body = read_message(self.server)
        return head + body

    def answer(self, data: bytes) -> None:
        self.client.sendall(data)

    def reset(self) -> None:
        for end in (self.server, self.client):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        raise BrokenError


@dataclass
class BadNetwork:
    """The proxy; ``struck`` counts the faults by kind, ``slow_seconds`` outlasts the client."""

    target: int
    share: float
    slow_seconds: float
    chance: random.Random
    struck: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _refusing: threading.Event = field(default_factory=threading.Event)
    _closed: threading.Event = field(default_factory=threading.Event)
    _listener: socket.socket | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self) -> None:
        """Accept connections until closed; while it refuses, nobody listens."""
        while not self._closed.is_set():
            with socket.create_server(("127.0.0.1", self.port), backlog=128) as listener:
                self._listener, self.port = listener, listener.getsockname()[1]
                self._refusing.clear()
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = listener.accept()
                        thread = threading.Thread(target=self._serve, args=(client,))
                        self._threads.append(thread)
                        thread.start()
            self._closed.wait(REFUSING_SECONDS)

    def close(self) -> None:
        self._closed.set()
        self._hang_up()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            assert self._listener is not None
            self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(BrokenError, OSError):
            client.settimeout(30)
            with socket.create_connection(("127.0.0.1", self.target), 30) as server:
                while True:
                    self._exchange(Exchange(client, server, *read_message(client)))

    def _exchange(self, exchange: Exchange) -> None:
        if self.chance.random() >= self.share:
            exchange.answer(exchange.forward())
            return
        kind = KINDS[self.struck.total() % len(KINDS)]
        self.struck[kind] += 1
        FAULTS[kind](self, exchange)

    def refuse(self, exchange: Exchange) -> None:
        self._hang_up()
        exchange.reset()

    def reset_before_the_body(self, exchange: Exchange) -> None:
        exchange.server.sendall(exchange.head)
        exchange.reset()

    def reset_within_the_body(self, exchange: Exchange) -> None:
        exchange.server.sendall(exchange.head + exchange.body[: len(exchange.body) // 2])
        exchange.reset()

    def reset_after_the_body(self, exchange: Exchange) -> None:
        exchange.server.sendall(exchange.head + exchange.body)
        exchange.reset()

    def lose_the_answer(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()

    def cut_the_answer(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.answer(answer[: len(answer) // 2])
        raise BrokenError

    def delay_the_answer(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        self._closed.wait(self.slow_seconds)
        exchange.answer(answer)

    def say_nothing(self, exchange: Exchange) -> None:
        """Half open: the request is swallowed and the connection stays until the client goes."""
        while exchange.client.recv(1024):
            pass
        raise BrokenError

    def babble(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(GARBAGE)
        raise BrokenError

    def answer_for_another(self, exchange: Exchange) -> None:
        exchange.answer(PORTAL)

    def repeat(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(exchange.forward())


FAULTS: Mapping[str, Callable[[BadNetwork, Exchange], None]] = {
    fault.__name__: fault
    for fault in (
        BadNetwork.refuse, BadNetwork.reset_before_the_body, BadNetwork.reset_within_the_body,
        BadNetwork.reset_after_the_body, BadNetwork.lose_the_answer, BadNetwork.cut_the_answer,
        BadNetwork.delay_the_answer, BadNetwork.say_nothing, BadNetwork.babble,
        BadNetwork.answer_for_another, BadNetwork.repeat,
    )
}  # fmt: skip
KINDS = tuple(FAULTS)


def read_message(end: socket.socket) -> tuple[bytes, bytes]:
    """Head and body of the next HTTP message, which says its length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(end)
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += _more(end)
    return head + b"\r\n\r\n", body


def _more(end: socket.socket) -> bytes:
    data = end.recv(1 << 16)
    if not data:
        raise BrokenError
    return data


@contextlib.contextmanager
def bad_network(
    target: int, share: float, slow_seconds: float, seed: int = 1
) -> Iterator[BadNetwork]:
    """The proxy to a port of this machine, running."""
    network = BadNetwork(target, share, slow_seconds, random.Random(seed))
    thread = threading.Thread(target=network.listen)
    thread.start()
    while not network.port:
        thread.join(0.01)
    try:
        yield network
    finally:
        network.close()
        thread.join()
        network.join()
