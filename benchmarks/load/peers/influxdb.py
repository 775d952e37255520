"""InfluxDB 1, by its line protocol."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.load import formats
from benchmarks.load.formats import Format
from benchmarks.load.peer import Peer, Running
from benchmarks.load.service import HOST, await_answer, free_port, running
from benchmarks.load.writing import Workload

PROGRAM, DATABASE = "influxd", "load"

CONFIG = """
reporting-disabled = true
bind-address = "{host}:{inner}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "{host}:{port}"
  log-enabled = false
[monitor]
  store-enabled = false
"""


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else "apt-get install influxdb"


@contextmanager
def _running(folder: Path) -> Iterator[Running]:
    port, inner = free_port(), free_port()
    config = folder / "influxdb.conf"
    config.write_text(CONFIG.format(host=HOST, inner=inner, port=port, folder=folder))
    with running([PROGRAM, "run", "-config", str(config)], folder / "log") as process:
        url = f"http://{HOST}:{port}"
        await_answer(process, f"{url}/ping")
        query = {"q": f"CREATE DATABASE {DATABASE}"}
        httpx.post(f"{url}/query", params=query, trust_env=False).raise_for_status()
        yield Running(port, process.pid)


def _formats(_: Workload) -> Sequence[Format]:
    return [formats.influx(f"/write?db={DATABASE}&precision=ms")]


_SELECT = f"/query?db={DATABASE}&epoch=ms&q=SELECT+{{metric}}+FROM+layers+WHERE+run='{{run}}'"
_QUERIES = {
    "series": f"{_SELECT}+AND+layer='{{layer}}'",
    "matrix": f"{_SELECT}+AND+time>={{newest}}s+GROUP+BY+layer",
}

PEER = Peer("InfluxDB", _missing, _running, _formats, _QUERIES)
