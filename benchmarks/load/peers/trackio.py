"""Trackio's own server, by the request that its client sends for many steps."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load.formats import Format, digits
from benchmarks.load.peer import Peer, Running
from benchmarks.load.reports import Report
from benchmarks.load.service import HOST, await_answer, free_port, running
from benchmarks.load.writing import Workload

PROGRAM, TOKEN = "trackio", "load"
HEADERS = f"Content-Type: application/json\r\nX-Trackio-Write-Token: {TOKEN}\r\n"


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else f"pip install {PROGRAM}, with its bin folder on PATH"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    port = free_port()
    environment = {
        **os.environ,
        "TRACKIO_DIR": str(folder / "data"),
        "TRACKIO_WRITE_TOKEN": TOKEN,
        "GRADIO_SERVER_PORT": str(port),
        "HF_HUB_OFFLINE": "1",
        "BROWSER": "true",
    }
    with running([PROGRAM, "show"], folder / "log", environment) as process:
        await_answer(process, f"http://{HOST}:{port}/")
        yield Running(port, process.pid)


def _bulk_log(sent: Report) -> list[bytes]:
    """An entry a step, with all metrics by name; its time in milliseconds is its step."""
    entries = [
        json.dumps({"project": "load", "run": sent.run, "config": None, "metrics": metrics})
        for metrics in sent.steps
    ]
    begins = ['{"hf_token":null,"logs":[', *["}," for _ in entries[1:]]]
    pieces = [
        f'{begin}{entry[:-1]},"step":'.encode()
        for begin, entry in zip(begins, entries, strict=True)
    ]
    return [*pieces, b"}]}"]


def _formats(_: Workload) -> Sequence[Format]:
    return [Format("bulk_log", "/api/bulk_log", _bulk_log, digits, headers=HEADERS)]


PEER = Peer("Trackio", _missing, _running, _formats)
