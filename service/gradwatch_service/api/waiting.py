"""Waits of the event loop that are too short and too many to have a timer, or a call, each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
W = TypeVar("W", bound=Hashable)


class Deadline(Generic[W]):
    """Gives up what is still watched after so many seconds: one timer for all, in their order."""

    def __init__(self, seconds: float, give_up: Callable[[W], object]) -> None:
        self._seconds = seconds
        self._give_up = give_up
        self._due: dict[W, float] = {}  # soonest first, as all may take equally long
        self._is_set = False

    def watch(self, one: W) -> None:
        """Begin to count."""
        loop = asyncio.get_running_loop()
        self._due[one] = loop.time() + self._seconds
        if not self._is_set:
            self._set(loop)

    def met(self, one: W) -> bool:
        """Count no longer; whether it was not given up before."""
        return self._due.pop(one, None) is not None

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_set = bool(self._due)
        if self._is_set:
            loop.call_at(next(iter(self._due.values())), self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in [one for one, due in self._due.items() if due <= now]:
            del self._due[one]
            self._give_up(one)
        self._set(loop)


class Answers:
    """What another thread answers, as the event loop awaits it: one call for all that are ready."""

    def __init__(self, seconds: float) -> None:
        self._deadline: Deadline[asyncio.Future[None]] = Deadline(seconds, _wake)
        self._ready: deque[asyncio.Future[None]] = deque()
        self._is_called = False

    async def to(self, future: Future[T]) -> T:
        """The answer.

        Raises:
            TimeoutError: it took too long; the future is left as it is.
        """
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        future.add_done_callback(lambda _: self._call(loop, woken))
        self._deadline.watch(woken)
        try:
            await woken
        finally:
            in_time = self._deadline.met(woken)
        if not in_time:
            raise TimeoutError
        return future.result()

    def _call(self, loop: asyncio.AbstractEventLoop, woken: asyncio.Future[None]) -> None:
        """In the thread that answers."""
        self._ready.append(woken)
        if not self._is_called:
            self._is_called = True
            loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._is_called = False  # first: what becomes ready from here on calls again
        while self._ready:
            _wake(self._ready.popleft())


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
