"""How much one key may send: two buckets that fill by time, and refuse when they are empty."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from gradwatch_service.errors import TooMany

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
            TooMany: it says when to come again.
        """
        self._fill(now)
        rates = self._rates
        wait = max((1 - self._requests) / rates.requests, (count - self._bytes) / rates.bytes)
        if wait > 0:
            raise TooMany(
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


class Attempts:
    """How often each address may try something in a minute that needs no key."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._tries: dict[str, deque[float]] = {}

    def admit(self, address: str, now: float) -> None:
        """Count a try.

        Raises:
            TooMany: there were too many from this address.
        """
        for one in [one for one, tries in self._tries.items() if tries[-1] <= now - self._seconds]:
            del self._tries[one]
        tries = self._tries.setdefault(address, deque(maxlen=self._most))
        if len(tries) == self._most and tries[0] > now - self._seconds:
            wait = tries[0] + self._seconds - now
            raise TooMany(
                f"at most {self._most} tries in {self._seconds:g} s from one address",
                retry_after_seconds=wait + _jitter.uniform(0.0, 1.0),
            )
        tries.append(now)
