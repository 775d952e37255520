"""How much one key may send: two buckets that fill by time, and refuse when they are empty."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gradwatch_service.errors import TooManyRequests

_jitter = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Rates:
    """What a key may do each second; ``burst_seconds`` of it may come at once."""

    requests: float
    bytes: float
    burst_seconds: float


class Meter:
    """What one key has used, in one process; ``now`` is the event loop's time."""

    def __init__(self, rates: Rates, now: float) -> None:
        self._rates = rates
        self._requests = rates.requests * rates.burst_seconds
        self._bytes = rates.bytes * rates.burst_seconds
        self._at = now

    def admit(self, count: int, now: float) -> None:
        """Take one request on, with so many bytes.

        Raises:
            TooManyRequests: it says when to come again.
        """
        self._fill(now)
        rates = self._rates
        most = min(count, rates.bytes * rates.burst_seconds)  # a full bucket lets a larger body in
        wait = max((1 - self._requests) / rates.requests, (most - self._bytes) / rates.bytes)
        if wait > 0:
            raise TooManyRequests(
                f"this key may send {rates.requests:g} requests and "
                f"{rates.bytes / 2**20:g} MiB a second: send fewer and larger pushes",
                retry_after_seconds=wait + _jitter.uniform(0.0, 1.0 + wait),
            )
        self._requests -= 1
        self._bytes -= count

    def charge(self, count: int) -> None:
        """Count bytes whose number was not known before they came."""
        self._bytes -= count

    def _fill(self, now: float) -> None:
        rates, passed = self._rates, now - self._at
        self._at = now
        burst = rates.burst_seconds
        self._requests = min(rates.requests * burst, self._requests + rates.requests * passed)
        self._bytes = min(rates.bytes * burst, self._bytes + rates.bytes * passed)
