"""Runs of MLflow: its folder as MLflow 3 leaves it, and the answers that its server gives."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from gradwatch.errors import Refused, Unreachable
from gradwatch.history import mlflow_files, mlflow_server
from gradwatch.history.past_run import PastRun, Value

RUN = "310c454f55b048a594211e84ae8e5704"
URL = "http://mlflow.invalid:5000/"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


@pytest.fixture
def mlruns(tmp_path: Path) -> Path:
    root = tmp_path / "mlruns"
    write(root / "285" / "meta.yaml", "experiment_id: '285'\nname: lm\n")
    run = root / "285" / RUN
    write(run / "meta.yaml", f"run_id: {RUN}\nrun_name: from meta\nstatus: 4\ntags: []\n")
    write(run / "params" / "lr", "0.1")
    write(run / "params" / "optimizer", "adamw")
    write(run / "tags" / "mlflow.runName", "exploding")
    write(run / "metrics" / "train" / "loss", "1700000000500 2.0 0\n1700000001000 nan 1\n")
    write(run / "metrics" / "plain", "1700000000500 7.0\n1700000000500 8.0\nhalf a li")
    (run / "params" / "author").write_bytes(b"Andr\xe9")
    model = root / "285" / "models" / "m-1f0c"
    write(model / "meta.yaml", f"model_id: m-1f0c\nname: best\nsource_run_id: {RUN}\n")
    write(model / "metrics" / "eval" / "loss", "1700000000500 2.0 0\n")
    deleted = root / ".trash" / "1" / "2"
    write(deleted / "meta.yaml", "run_id: x\n")
    write(deleted / "metrics" / "loss", "1 1 1\n")
    return root


def test_a_folder_is_read_with_names_parameters_and_end(mlruns: Path):
    (run,) = mlflow_files.read(mlruns)
    assert (run.key, run.name, run.project, run.state) == (RUN, "exploding", "lm", "failed")
    assert run.config == {"lr": 0.1, "optimizer": "adamw", "author": "Andr\ufffd"}
    assert run.series["train/loss"][0] == Value(1_700_000_000.5, 2.0)
    assert math.isnan(run.series["train/loss"][1].value)
    assert {step: value.value for step, value in run.series["plain"].items()} == {0: 7.0, 1: 8.0}
    assert run.left_out == {"unreadable lines of metrics": 1}


def answers(request: httpx.Request) -> Iterator[dict[str, Any]]:
    """The pages of a server with one run, in the form of MLflow 3."""
    path = request.url.path.removeprefix(mlflow_server.API)
    if path == "/experiments/search":
        yield {"experiments": [{"experiment_id": "1", "name": "lm"}]}
    elif path == "/runs/search":
        assert json.loads(request.content)["experiment_ids"] == ["1"]
        info = {"run_id": RUN, "experiment_id": "1", "run_name": "exploding", "status": "FINISHED"}
        metrics = [{"key": "train/loss", "value": 1.0, "timestamp": 1, "step": 1}]
        params = [{"key": "lr", "value": "0.1"}]
        yield {"runs": [{"info": info, "data": {"metrics": metrics, "params": params}}]}
    else:
        assert request.url.params["run_id"] == RUN
        for step, value in enumerate([2.0, "NaN", 3.0]):
            yield {"metrics": [{"timestamp": 1_700_000_000_500, "step": step, "value": value}]}


def served(request: httpx.Request) -> httpx.Response:
    """One page, and the token of the next."""
    token = (parse_qs(request.url.query.decode()).get("page_token") or ["0"])[0]
    pages = list(answers(request))
    page = pages[int(token)]
    more = {"next_page_token": str(int(token) + 1)} if int(token) + 1 < len(pages) else {}
    return httpx.Response(200, json=page | more)


def read(handler: Any) -> list[PastRun]:
    return list(mlflow_server.read(URL, httpx.MockTransport(handler)))


def test_a_server_is_read_page_by_page():
    (run,) = read(served)
    assert (run.key, run.name, run.project, run.state) == (RUN, "exploding", "lm", "finished")
    assert run.config == {"lr": 0.1}
    found = {step: value.value for step, value in run.series["train/loss"].items()}
    assert (found[0], found[2]) == (2.0, 3.0)
    assert math.isnan(found[1])
    assert run.series["train/loss"][0].time == 1_700_000_000.5


def test_a_server_without_experiments_has_no_runs():
    assert read(lambda _: httpx.Response(200, json={})) == []


def test_a_server_that_refuses_or_is_another_is_an_error():
    for answer in (
        httpx.Response(403, json={"error_code": "PERMISSION_DENIED"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(502),
    ):
        with pytest.raises(Refused):
            read(lambda _, answer=answer: answer)

    def away(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route")

    with pytest.raises(Unreachable, match="no route"):
        read(away)
