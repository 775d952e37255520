"""Runs the real service for the demo: ``gradwatch serve`` in a process of its own."""

from __future__ import annotations

import io
import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from multiprocessing.process import BaseProcess

import httpx

from gradwatch.cli import main as gradwatch_command

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, PAUSE_SECONDS = 40.0, 20.0, 0.05


class NotStartedError(Exception):
    """The service did not come up; its own message is on standard error."""


@contextmanager
def serving(database_url: str) -> Iterator[str]:
    """The address of a service that works on this database, for as long as the block lasts."""
    port = _free_port()
    flags = ["--host", HOST, "--port", str(port), "--workers", "1"]
    flags += ["--database-url", database_url]
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(flags,), name="gradwatch-serve", daemon=True
    )
    process.start()
    try:
        url = f"http://{HOST}:{port}"
        _await_ready(process, url)
        yield url
    finally:
        process.terminate()
        process.join(STOP_SECONDS)


def _serve(flags: Sequence[str]) -> None:
    with redirect_stdout(io.StringIO()):  # its greeting would break into the story
        sys.exit(gradwatch_command(["serve", *flags]))


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


def _await_ready(process: BaseProcess, url: str) -> None:
    end = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=url, timeout=5, trust_env=False) as http:
        while time.monotonic() < end and process.is_alive():
            if _is_ready(http):
                return
            time.sleep(PAUSE_SECONDS)
    raise NotStartedError("the service did not start; the lines above say why")


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
