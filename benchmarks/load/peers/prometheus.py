"""Prometheus, by remote write, the only way in that it has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.load import formats
from benchmarks.load.formats import Format
from benchmarks.load.peer import Peer, Running
from benchmarks.load.service import HOST, await_answer, free_port, running
from benchmarks.load.writing import Workload

PROGRAM = "prometheus"


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else f"apt-get install {PROGRAM}"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    command = [
        PROGRAM, f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={HOST}:{port}", "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=100y", "--log.level=error",
    ]  # fmt: skip
    with running(command, folder / "log") as process:
        await_answer(process, f"http://{HOST}:{port}/-/ready")
        yield Running(port, process.pid)


def _formats(_: Workload) -> Sequence[Format]:
    return [formats.prometheus("/api/v1/write")]


_QUERIES = {
    "series": "/api/v1/query?query={metric}%7Brun=%22{run}%22,layer=%22{layer}%22%7D[{span}s]"
    "&time={last}",
    "matrix": "/api/v1/query?query={metric}%7Brun=%22{run}%22,layer!=%22%22%7D[{newest_span}s]"
    "&time={last}",
}

PEER = Peer("Prometheus", _missing, _running, _formats, _QUERIES)
