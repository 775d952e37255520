"""The only place of the client that asks what time it is (the wall clock; waits use monotonic)."""

from __future__ import annotations

import time


def now() -> float:
    """Unix time in seconds, UTC."""
    return time.time_ns() / 1e9
