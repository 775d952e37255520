"""How often something may be done: so many times in so many seconds, counted for each key."""

from __future__ import annotations

import threading
import time
from collections import deque

from gradwatch_service.errors import TooManyRequests


class Pace:
    """One limit; what lies back longer than its time is forgotten."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._taken: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def take(self, key: str) -> None:
        """Count one.

        Raises:
            TooManyRequests: that would be one too many.
        """
        with self._lock:
            now = time.monotonic()
            self._forget(now - self._seconds)
            taken = self._taken.setdefault(key, deque())
            if len(taken) >= self._most:
                raise TooManyRequests(
                    f"at most {self._most} of these in {self._seconds:g} s",
                    retry_after_seconds=taken[0] + self._seconds - now,
                )
            taken.append(now)

    def _forget(self, before: float) -> None:
        for taken in self._taken.values():
            while taken and taken[0] <= before:
                taken.popleft()
        self._taken = {key: taken for key, taken in self._taken.items() if taken}
