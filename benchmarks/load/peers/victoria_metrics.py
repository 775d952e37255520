"""VictoriaMetrics, a single server, with all its ways in."""

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

PROGRAM = "victoria-metrics"


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else f"apt-get install {PROGRAM}"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    port = free_port()
    command = [
        PROGRAM, f"-storageDataPath={folder}/data", f"-httpListenAddr={HOST}:{port}",
        "-retentionPeriod=100y", "-loggerLevel=ERROR",
    ]  # fmt: skip
    with running(command, folder / "log") as process:
        await_answer(process, f"http://{HOST}:{port}/health")
        yield Running(port, process.pid)


def _formats(workload: Workload) -> Sequence[Format]:
    stats = workload.shape.stats
    metrics = ",".join(f"{place}:metric:{stat}" for place, stat in enumerate(stats, 3))
    columns = f"1:label:run,2:label:layer,{metrics},{len(stats) + 3}:time:unix_ms"
    return [
        formats.json_import("/api/v1/import"),
        formats.influx("/write?precision=ms"),
        formats.prometheus("/api/v1/write"),
        formats.text_import("/api/v1/import/prometheus"),
        formats.csv(f"/api/v1/import/csv?format={columns}"),
    ]


_SERIES = "{metric}%7Brun=%22{run}%22,layer=%22{layer}%22%7D"
_MATRIX = "{metric}%7Brun=%22{run}%22,layer!=%22%22%7D"
_RANGE = "/api/v1/query_range?step=0.25s&nocache=1&query="
_QUERIES = {
    "series": f"{_RANGE}{_SERIES}&start={{first}}&end={{last}}",
    "matrix": f"{_RANGE}{_MATRIX}&start={{newest}}&end={{last}}",
    "series raw": f"/api/v1/export?match[]={_SERIES}&start={{first}}&end={{last}}",
    "matrix raw": f"/api/v1/export?match[]={_MATRIX}&start={{newest}}&end={{last}}",
}

PEER = Peer("VictoriaMetrics", _missing, _running, _formats, _QUERIES)
