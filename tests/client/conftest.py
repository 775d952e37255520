"""A service in memory, and runs that report to it quickly and are ended after the test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gradwatch import process
from gradwatch.config import Config
from gradwatch.launch import Launch
from gradwatch.run import Run
from tests.client.memory_service import MemoryService

FAST: dict[str, Any] = {
    "linger_seconds": 0.005,
    "backoff_base_seconds": 0.002,
    "backoff_cap_seconds": 0.01,
    "auth_pause_seconds": 0.02,
    "exit_seconds": 10.0,
}
RUN_ID = "01935b2e-7a4c-7000-8000-000000000001"

OpenRun = Callable[..., Run]


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


@pytest.fixture
def open_run(service: MemoryService) -> Iterator[OpenRun]:
    """Open runs on the service in memory; keyword arguments are fields of ``Config``."""
    runs: list[Run] = []

    def open_one(launch: Launch | None = None, layers: Any = (), **settings: Any) -> Run:
        chosen = launch or Launch(RUN_ID, "lm", "launch-1")
        run = Run(chosen, Config(**(FAST | settings)), layers, service.transport)
        runs.append(run)
        return run

    yield open_one
    service.faults.clear()
    for run in runs:
        run.finish()
        process.release(run)


@pytest.fixture
def warnings_logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged as a warning or worse by gradwatch so far."""
    caplog.set_level(logging.WARNING, logger="gradwatch")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "gradwatch"]
