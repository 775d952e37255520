"""Somebody who listens: whose changes, what waits to be sent, and how much of that at most."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from gradwatch_service.store.pulse import Key, Sight

# Who lets more than this wait is hung up on, and comes back for what counts by then.
WAITING_BYTES_MAX: Final = 4 * 2**20
RESET: Final = b"event: reset\ndata: {}\n\n"


class Listener:
    """Belongs to the event loop; of one run or alert only the newest waits to be sent."""

    def __init__(self, project: str | None, run_id: uuid.UUID | None, since: int | None) -> None:
        self.project = project
        self.since = since
        self.is_new = True
        self.is_closed = False
        self._run_id = run_id
        self._waiting: dict[Key | None, bytes] = {}
        self._bytes = 0
        self._sent_through = since or 0
        self._through = since or 0
        self._woken = asyncio.Event()

    def wants(self, sight: Sight | None) -> bool:
        """Whether this is of the run, or the project, that was asked for."""
        if sight is None or self.project not in {None, sight.project}:
            return False
        return self._run_id in {None, sight.run_id}

    def tell(self, events: Iterable[tuple[Key, bytes]], through: int) -> None:
        """Have these sent; ``through``: whoever has them, has all up to this id."""
        for key, text in events:
            self._bytes += len(text) - len(self._waiting.pop(key, b""))
            self._waiting[key] = text
        self._through = through
        if self.is_new:  # to be told its first id
            self._woken.set()
        self.is_new = False
        if self._bytes > WAITING_BYTES_MAX:
            self.close()
        elif self._waiting:
            self._woken.set()

    def reset(self) -> None:
        """Have said that lists are to be read anew; what waits is in them."""
        self._waiting, self._bytes = {None: RESET}, len(RESET)
        self._woken.set()

    def close(self) -> None:
        """End the stream."""
        self.is_closed = True
        self._waiting, self._bytes = {}, 0
        self._woken.set()

    async def wait(self, seconds: float) -> None:
        """Until there is something to send, or the stream is to end, or so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)

    def take(self) -> bytes:
        """What is to be sent now.

        The last event alone has the new id: who has only the others comes back for the rest.
        """
        *others, last = self._waiting.values() or [b""]
        before = b"id: %d\n" % self._sent_through
        text = b"".join(before + one for one in others)
        if last:
            text += self.mark() + last
        self._waiting, self._bytes = {}, 0
        self._woken.clear()
        return text

    def mark(self) -> bytes:
        """The newest id, for what is sent now."""
        self._sent_through = self._through
        return b"id: %d\n" % self._through
