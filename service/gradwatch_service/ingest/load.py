"""How busy the writer is, so that what can wait does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

MEMORY_SECONDS = 1.0


class Load:
    """The share of about the last second that was spent working; read by any thread."""

    def __init__(self) -> None:
        self._share = 0.0
        self._until = perf_counter()

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Work."""
        begun = perf_counter()
        try:
            yield
        finally:
            ended = perf_counter()
            elapsed = ended - self._until
            kept = math.exp(-elapsed / MEMORY_SECONDS)
            self._share = kept * self._share + (1 - kept) * (ended - begun) / elapsed
            self._until = ended

    @property
    def share(self) -> float:
        """From 0, idle, to 1."""
        return self._share * math.exp(-(perf_counter() - self._until) / MEMORY_SECONDS)
