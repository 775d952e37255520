"""Real servers for tests: ``gradwatch serve`` in a process of its own, which can be killed.

Where importing is no part of what is tested, it was done before (``forked.py``).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gradwatch_service.commands import serve
from tests.forked import Forked

START_DEADLINE_SECONDS = 60.0
STOP_DEADLINE_SECONDS = 20.0
COMMAND = "import sys; from gradwatch_service.commands import serve; sys.exit(serve(sys.argv[1:]))"


def poll(condition: Callable[[], bool], what: str, deadline_seconds: float = 30.0) -> None:
    """Wait until the condition holds, or fail saying what did not happen."""
    end = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what} within {deadline_seconds:g} s")
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """One server on one port; it may be stopped, killed and started again.

    ``program``: what Python is started with, ``COMMAND`` or a variation; else it is forked.
    """

    database_url: str
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | Forked | None = None
    program: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"

    def start(self) -> Server:
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        flags = ["--port", str(self.port), "--database-url", self.database_url]
        if self.program is None:
            self.process = Forked(serve, (flags,), self.log, self.environment)
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.program, *flags],
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )

    def wait_until_ready(self) -> None:
        poll(self._is_ready, f"the server is ready; its log: {self.log}", START_DEADLINE_SECONDS)

    def stop(self) -> int:
        """Ask it to stop; what it took on is stored first. Returns the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """``kill -9``: nothing is stored that was not."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, and start on the same port."""
        self.stop()
        self.start()

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the server ended: {self.log.read_text(errors='replace')[-3000:]}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        try:
            return process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            pytest.fail(f"the server did not stop; its log: {self.log.read_text()[-3000:]}")


@pytest.fixture
def program() -> str | None:
    """Files of tests that ask how the command itself behaves say ``COMMAND`` here."""
    return None


@pytest.fixture
def server(database_url: str, tmp_path: Path, program: str | None) -> Iterator[Server]:
    """A started server on a fresh, migrated database."""
    running = Server(database_url, tmp_path / "server.log", program=program).start()
    yield running
    running.kill()


@pytest.fixture(scope="session")
def standing_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A started server on SQLite, for tests that look only at runs of their own."""
    folder = tmp_path_factory.mktemp("standing")
    running = Server(f"sqlite:///{folder}/gradwatch.db", folder / "server.log").start()
    yield running
    running.kill()


@contextlib.contextmanager
def two_servers(database_url: str, folder: Path) -> Iterator[list[Server]]:
    """Two started servers on one database."""
    both = [Server(database_url, folder / f"{number}.log").start() for number in range(2)]
    yield both
    for server in both:
        server.kill()


@pytest.fixture(name="http")
def http_client(server: Server) -> Iterator[httpx.Client]:
    """A client of the server, which addresses paths below the API prefix."""
    with httpx.Client(base_url=server.api, timeout=30, trust_env=False) as client:
        yield client
