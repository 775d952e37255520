"""A time by which something has ended, whatever the other side does meanwhile."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

SHORTEST_SECONDS = 0.001


class Deadline:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, never 0: for sockets that would mean not to wait at all."""
        return max(self._end - time.monotonic(), SHORTEST_SECONDS)

    @property
    def has_passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    @contextmanager
    def ends(self, connection: socket.socket) -> Iterator[None]:
        """Cut a connection when the time is up, although it may still move a byte now and then."""
        twin = connection.dup()  # the socket itself may get wrapped in TLS meanwhile

        def cut() -> None:
            with suppress(OSError):
                twin.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self.left, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            twin.close()

    def bounds(self, ask: Callable[[], T]) -> T:
        """The result of something that knows no time limit, such as asking for an address.

        Raises:
            TimeoutError: there is none in time.
        """
        outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, OSError]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((ask(), None))
            except (OSError, UnicodeError) as error:
                outcome.put((None, error if isinstance(error, OSError) else OSError(str(error))))

        threading.Thread(target=run, name="outgoing", daemon=True).start()
        try:
            found, error = outcome.get(timeout=self.left)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return found  # type: ignore[return-value]
