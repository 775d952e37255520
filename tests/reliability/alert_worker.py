"""``gradwatch worker`` with the tests' own channel, as a process that can be killed."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from gradwatch_service import app
from gradwatch_service.settings import Settings
from tests.forked import Forked
from tests.listener import open_plain

ENVIRONMENT = {
    "GRADWATCH_GROUP_WAIT_SECONDS": "0.2",
    "GRADWATCH_DELIVERIES_PER_MINUTE": "1000000",  # every event by itself
    "GRADWATCH_DELIVERY_TIMEOUT_SECONDS": "1",
}


@dataclass(frozen=True)
class AlertWorker:
    """One worker process."""

    process: Forked

    @staticmethod
    def start(database_url: str, log: Path) -> AlertWorker:
        return AlertWorker(Forked(main, (database_url,), log, ENVIRONMENT))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def main(database_url: str) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = Settings(database_url=database_url)
    try:
        with app.backend(settings) as served, app.worker(served, open_plain):
            signal.pause()
    except KeyboardInterrupt:
        return 0
    return 1
