"""Processes forked off one that has imported the service already, so that they start at once.

Each is a process of its own, with its own environment, log and exit status, as a command has them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

STDOUT, STDERR = 1, 2
IMPORTED_ALREADY = [
    "gradwatch_service.commands",
    "anyio._backends._asyncio",
    "uvicorn.loops.uvloop",
    "tests.databases",
    "tests.frozen",
]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(IMPORTED_ALREADY)  # whoever forks first, of all tests


class Forked:
    """Calls a function; may be asked what ``subprocess.Popen`` may be asked."""

    def __init__(
        self, main: Callable[..., int], arguments: Any, log: Path, environment: Mapping[str, str]
    ) -> None:
        everything = dict(os.environ) | dict(environment)
        self._process = _context.Process(
            target=_run, args=(main, arguments, str(log), everything), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutExpired(str(self._process), timeout or 0.0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it may end at any time
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    main: Callable[..., int], arguments: Any, log: str, environment: Mapping[str, str]
) -> None:
    with Path(log).open("ab") as output:
        for stream in (STDOUT, STDERR):
            os.dup2(output.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(*arguments))
