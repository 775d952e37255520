"""The real ``gradwatch serve`` in a process of its own, as it is or under a profiler."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr

import httpx

from benchmarks.load.databases import Database

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, PAUSE_SECONDS = 60.0, 30.0, 0.05
PLAIN = (
    "-c",
    "import sys; from gradwatch_service.commands import serve; sys.exit(serve(sys.argv[1:]))",
)


@dataclass(frozen=True)
class Service:
    """A running service: where it listens, its process, its database."""

    port: int
    pid: int
    database: Database

    @property
    def pids(self) -> tuple[int, ...]:
        """The service's process and the database's."""
        return (self.pid, *self.database.pids)

    def client(self) -> httpx.Client:
        """A client of the API, for all that is not measured."""
        base = f"http://{HOST}:{self.port}/api/v1"
        return httpx.Client(base_url=base, timeout=30, trust_env=False)


@contextmanager
def serving(database: Database, program: Sequence[str] = PLAIN) -> Iterator[Service]:
    """A service on this database for as long as the block lasts."""
    port = free_port()
    flags = ["--port", str(port), "--database-url", database.url]
    with running([sys.executable, *program, *flags]) as process:
        await_answer(process, f"http://{HOST}:{port}/readyz")
        yield Service(port, process.pid, database)


@contextmanager
def running(
    command: Sequence[str], log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block lasts."""
    with (log or Path(os.devnull)).open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out if log else None,
            start_new_session=True,
            env=environment,
        )
        with stopped_after(process):
            yield process


@contextmanager
def stopped_after(process: subprocess.Popen[AnyStr]) -> Iterator[None]:
    """At the end of the block the process is asked to stop, and killed if it does not."""
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        process.kill()
        process.wait()


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def await_answer(process: subprocess.Popen[bytes], url: str) -> None:
    """Wait until an address answers well."""
    end = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5, trust_env=False) as http:
        while process.poll() is None and time.monotonic() < end:
            with suppress(httpx.TransportError):
                if http.get(url).is_success:
                    return
            time.sleep(PAUSE_SECONDS)
    raise SystemExit(f"{url} did not answer within {START_SECONDS:g} s, or its process ended")
