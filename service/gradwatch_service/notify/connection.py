"""A connection to an address that was checked, and what can go wrong with it, in plain words."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import httpcore
import httpx
from typing_extensions import override

from gradwatch_service.notify.addresses import Address
from gradwatch_service.notify.channel import UndeliveredError
from gradwatch_service.notify.deadline import Deadline

ADDRESSES_TRIED = 4


class CheckedBackend(httpcore.NetworkBackend):
    """How httpcore gets its connection: ours, whatever it asks for."""

    def __init__(self, connect: Callable[[], httpcore.NetworkStream]) -> None:
        self._connect = connect

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the address that was checked."""
        return self._connect()


def for_httpcore(url: httpx.URL) -> httpcore.URL:
    """The same URL as httpcore has it."""
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def connected(
    addresses: Iterable[Address], port: int, deadline: Deadline
) -> httpcore.NetworkStream:
    """A connection with the first of the addresses that takes one."""
    if deadline.has_passed:  # an address nearby may be quicker than the shortest wait
        raise httpcore.ConnectTimeout("no time is left")
    failed: Exception = httpcore.ConnectError("no address")
    for address in [*addresses][:ADDRESSES_TRIED]:
        try:
            return httpcore.SyncBackend().connect_tcp(str(address), port, deadline.left)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            failed = error
    raise failed


@contextmanager
def troubles(deadline: Deadline) -> Iterator[None]:
    """Whatever breaks on the way is no failure for ever."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        OSError,
    ) as error:
        raise UndeliveredError(_in_words(error, deadline), permanent=False) from error


def _in_words(error: BaseException, deadline: Deadline) -> str:
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate cannot be trusted: {one.verify_message}"
        if isinstance(one, socket.gaierror):
            return "its name is not known (DNS)"
    if deadline.has_passed or isinstance(error, TimeoutError | httpcore.TimeoutException):
        return f"it did not answer within {deadline.seconds:g} s"
    if isinstance(error, httpcore.ConnectError):
        return "it cannot be reached"
    return "the connection broke before there was an answer"
