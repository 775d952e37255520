"""MLflow's tracking server on SQLite, by the batches that its client logs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx

from benchmarks.load.formats import Format, digits
from benchmarks.load.peer import Peer, Running
from benchmarks.load.reports import Report, full_name
from benchmarks.load.service import HOST, await_answer, free_port, running
from benchmarks.load.writing import Workload

PROGRAM = "mlflow"
API = "/api/2.0/mlflow/runs"
MOST_METRICS = 1_000  # in a request; the server takes no more
SLOW_SECONDS = 60.0
HEADERS = "Content-Type: application/json\r\n"


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else f"pip install {PROGRAM}, with its bin folder on PATH"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    """One worker: four of them, the default, wait for each other's locks and are slower."""
    port = free_port()
    command = [
        PROGRAM, "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--default-artifact-root", f"{folder}/artifacts", "--host", HOST, "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with running(command, folder / "log", environment) as process:
        await_answer(process, f"http://{HOST}:{port}/health")
        yield Running(port, process.pid)


def _runs(port: int, count: int) -> list[str]:
    url = f"http://{HOST}:{port}{API}/create"
    with httpx.Client(timeout=60, trust_env=False) as http:
        answers = [http.post(url, json={"experiment_id": "0"}) for _ in range(count)]
    return [answer.raise_for_status().json()["run"]["info"]["run_id"] for answer in answers]


def _log_batch(sent: Report) -> list[bytes]:
    """An entry a value; a time in milliseconds is a step, too."""
    pieces = [f'{{"run_id":"{sent.run}","metrics":['.encode()]
    for metric, layer, values in sent.series:
        for value in values:
            begin = f'{{"key":"{full_name(metric, layer)}","value":{value},"timestamp":'
            pieces[-1] += begin.encode()
            pieces += [b',"step":', b"},"]
    pieces[-1] = b"}]}"
    return pieces


def _stamps(milliseconds: Sequence[int]) -> list[bytes]:
    return [one for stamp in digits(milliseconds) for one in (stamp, stamp)]


def _requests(sent: Report) -> list[Report]:
    """As many layers a request as fit beside the scalars, which are in the first."""
    steps = len(sent.layers[0][0])
    most = (MOST_METRICS // steps - len(sent.scalars)) // len(sent.stats)
    starts = range(0, len(sent.names), most)
    return [
        replace(
            sent,
            names=sent.names[at : at + most],
            layers=sent.layers[at : at + most],
            scalars={} if at else sent.scalars,
        )
        for at in starts
    ]


def _formats(_: Workload) -> Sequence[Format]:
    path = f"{API}/log-batch"
    form = Format("log-batch", path, _log_batch, _stamps, headers=HEADERS, requests=_requests)
    return [form]


PEER = Peer("MLflow", _missing, _running, _formats, runs=_runs, least_seconds=SLOW_SECONDS)
