"""The one way out: every connection of a channel is made here, so that none leads inside.

A name is resolved once, every address it has is checked, and the checked address is connected to.
No redirects, no proxies, no cookies, and an end when the time is up.
"""

from __future__ import annotations

import copy
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import httpcore
import httpx

from gradwatch_service.notify.addresses import (
    Address,
    Allowed,
    is_outside,
    literal,
    why_not_a_host,
)
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.connection import CheckedBackend, connected, for_httpcore, troubles
from gradwatch_service.notify.deadline import Deadline
from gradwatch_service.settings import Settings

Resolve = Callable[[str, int], Sequence[str]]

WEB_PORTS = frozenset({443, 8443})
MAIL_PORTS = frozenset({25, 465, 587, 2525})
DEADLINE_SECONDS = 10.0
ANSWER_BYTES_MAX = 4_096

INSIDE = (
    "leads into an internal network; only the operator can allow that (GRADWATCH_OUTGOING_ALLOW)"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said, as far as it was read; names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to connect to. ``is_usual``: with TLS, on a port meant for it."""

    host: str
    port: int
    is_usual: bool


def system_resolve(host: str, port: int) -> list[str]:
    """All addresses of a name, as the machine knows them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


class Outgoing:
    """Connects channels with what lies outside, and with what the operator allows besides.

    ``schemes``: of Apprise's URLs, which may be used.
    """

    def __init__(
        self,
        allowed: Allowed | None = None,
        *,
        resolve: Resolve = system_resolve,
        tls: ssl.SSLContext | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        schemes: frozenset[str] = frozenset(),
    ) -> None:
        self._allowed = allowed or Allowed()
        self._resolve = resolve
        self._tls = tls
        self._deadline_seconds = deadline_seconds
        self.schemes = schemes
        self._deadline: Deadline | None = None

    @classmethod
    def of(cls, settings: Settings) -> Outgoing:
        """As the operator has set it.

        Raises:
            ValueError: a setting cannot be read.
        """
        return cls(
            Allowed.parse(settings.outgoing_allow),
            deadline_seconds=settings.delivery_timeout_seconds,
            schemes=frozenset(settings.apprise_schemes.replace(",", " ").lower().split()),
        )

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """Certificates are checked, always."""
        return self._tls or httpx.create_ssl_context()

    def begun(self) -> Self:
        """The same way out for one message: all its requests together end when the time is up."""
        _ = self.tls  # it takes a while, and is shared
        begun = copy.copy(self)
        begun._deadline = Deadline(self._deadline_seconds)
        return begun

    def why_not(self, url: str) -> str:
        """What is wrong with a URL as far as it shows, in plain words; empty: nothing."""
        try:
            target = _target(httpx.URL(url))
        except httpx.InvalidURL:
            return "it is not an address such as https://example.org/path"
        except ValueError as error:
            return str(error)
        return self.why_not_target(target)

    def why_not_target(self, target: Target) -> str:
        """The same for what is no URL."""
        unfit = why_not_a_host(target.host)
        if unfit or self._allowed.names(target.host, target.port):
            return unfit
        address = literal(target.host)
        if address is None:
            may_be_allowed = target.is_usual or self._allowed.networks
            return "" if may_be_allowed else _UNUSUAL
        return self._why_not_address(target, address)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        *,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """Send one request and read the answer, whatever it says.

        Raises:
            UndeliveredError: the address is refused (permanent), or nobody answered.
        """
        unfit = self.why_not(url)
        if unfit:
            raise UndeliveredError(f"the address is refused: {unfit}", permanent=True)
        parsed = httpx.URL(url)
        deadline = self._deadline or Deadline(self._deadline_seconds)
        with troubles(deadline), ExitStack() as stack:
            way = CheckedBackend(
                lambda: stack.enter_context(self._stream(_target(parsed), deadline))
            )
            pool = stack.enter_context(
                httpcore.ConnectionPool(ssl_context=self.tls, network_backend=way)
            )
            times = dict.fromkeys(("connect", "read", "write", "pool"), deadline.left)
            response = stack.enter_context(
                pool.stream(
                    method,
                    for_httpcore(parsed),
                    headers=[
                        ("Host", parsed.netloc.decode("ascii")),
                        ("Connection", "close"),
                        *headers.items(),
                    ],
                    content=content,
                    extensions={"timeout": times},
                )
            )
            return _read(response, answer_bytes_max)

    @contextmanager
    def connection(self, host: str, port: int, *, encrypted: bool) -> Iterator[socket.socket]:
        """A connection to a mail server, cut when the time is up.

        Raises:
            UndeliveredError: the address is refused (permanent), or nobody answered.
        """
        target = Target(host.lower(), port, is_usual=encrypted and port in MAIL_PORTS)
        unfit = self.why_not_target(target)
        if unfit:
            raise UndeliveredError(f"the address is refused: {unfit}", permanent=True)
        deadline = self._deadline or Deadline(self._deadline_seconds)
        with troubles(deadline), self._stream(target, deadline) as stream:
            yield stream.get_extra_info("socket")

    @contextmanager
    def _stream(self, target: Target, deadline: Deadline) -> Iterator[httpcore.NetworkStream]:
        stream = connected(self._addresses(target, deadline), target.port, deadline)
        with closing(stream), deadline.ends(stream.get_extra_info("socket")):
            yield stream

    def _addresses(self, target: Target, deadline: Deadline) -> list[Address]:
        """Every address the name has, all of them checked."""
        if literal(target.host) is None:
            names = deadline.bounds(lambda: self._resolve(target.host, target.port))
        else:
            names = [target.host]
        addresses = [literal(name) for name in names]
        unfit = {self._why_not_address(target, address) for address in addresses} - {""}
        if unfit and not self._allowed.names(target.host, target.port):
            raise UndeliveredError(f"the address is refused: {min(unfit)}", permanent=True)
        return [address for address in addresses if address is not None]

    def _why_not_address(self, target: Target, address: Address | None) -> str:
        """None: an address of a single network card, such as fe80::1%eth0."""
        if address is None or not (self._allowed.holds(address) or is_outside(address)):
            return f"it {INSIDE}"
        if self._allowed.holds(address):
            return ""
        return "" if target.is_usual else _UNUSUAL


_UNUSUAL = "only https on port 443 or 8443, and mail with TLS, leave without the operator's leave"


def _target(url: httpx.URL) -> Target:
    """Whom a URL leads to.

    Raises:
        ValueError: it is no URL we follow; says why, in plain words.
    """
    if url.scheme not in {"http", "https"}:
        raise ValueError("it must begin with https://")
    if url.userinfo:
        raise ValueError("it must not hold a user or a password")
    host = url.raw_host.decode("ascii").lower()
    port = url.port or (443 if url.scheme == "https" else 80)
    return Target(host, port, is_usual=url.scheme == "https" and port in WEB_PORTS)


def _read(response: httpcore.Response, bytes_max: int) -> Answer:
    """The answer, cut where it gets long."""
    body = b""
    for piece in response.iter_stream():
        body += piece
        if len(body) >= bytes_max:
            break
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    return Answer(response.status, headers, body[:bytes_max])
