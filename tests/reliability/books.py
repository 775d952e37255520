"""A job of the real client that keeps its books: every report is logged, and checked after each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from gradwatch.buffer import Counts
from gradwatch.config import Config
from gradwatch.ids import uuid7
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.servers import poll

QUICK = {"linger_seconds": 0.01, "backoff_base_seconds": 0.05, "backoff_cap_seconds": 0.2}
DEADLINE_SECONDS = 30.0


@dataclass
class Ledger:
    """A job that reports losses, and looks at its books after every report."""

    run: Run
    logged: list[int] = field(default_factory=list)

    def log(self, steps: int, loss: float = 1.0) -> None:
        for _ in range(steps):
            step = len(self.logged)
            self.run.log(step, loss=loss)
            self.logged.append(step)
            self.check()

    def check(self) -> Counts:
        counts = self.run.counts
        accounted = counts.stored + counts.rejected + counts.dropped + counts.pending
        assert counts.observed == len(self.logged) == accounted
        return counts

    def settle(self, deadline_seconds: float = DEADLINE_SECONDS) -> Counts:
        """Wait until nothing is pending; the books balance all the while."""
        poll(lambda: not self.check().pending, "everything is settled", deadline_seconds)
        return self.check()


@contextmanager
def reporting(url: str, run_id: str = "", **settings: Any) -> Iterator[Ledger]:
    """A run of the real client on the service at this address, ended afterwards."""
    launch = Launch(run_id or str(uuid7()), "books", "launch-1")
    run = Run(launch, Config(url=url, **(QUICK | settings)))
    try:
        yield Ledger(run)
    finally:
        run.finish()


def steps_on(http: httpx.Client, run: Run) -> list[int]:
    """The steps of the run's losses that the service has, each as often as it is stored."""
    found = http.get(f"/runs/{run.id}/series", params={"metric": "loss", "points": 10_000}).json()
    assert found["total_points"] == len(found["steps"])
    return found["steps"]
