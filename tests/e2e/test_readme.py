"""The README does what it says: its curl lines run as printed, its Python lines train a model."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import Server

pytestmark = pytest.mark.sqlite_in_brief

README = Path(__file__).parents[2] / "README.md"
PRINTED = "http://127.0.0.1:8321"


def block_after(text: str, language: str) -> str:
    """The first fenced block of a language after a piece of text."""
    rest = README.read_text().split(text, maxsplit=1)[1]
    found = re.search(rf"```{language}\n(.*?)```", rest, flags=re.DOTALL)
    assert found is not None
    return found[1]


def answers(output: str) -> list[dict[str, object]]:
    """The JSON documents in an output, one after the other without separators."""
    decoder, found, rest = json.JSONDecoder(), [], output.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].lstrip()
    return found


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_work_as_printed(server: Server) -> None:
    lines = block_after("<!-- test: these lines run", "sh")
    assert PRINTED in lines
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines.replace(PRINTED, server.url)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    run, receipt, alerts = answers(done.stdout)
    assert run["state"] == "running"
    assert (receipt["status"], receipt["accepted"], receipt["health"]) == ("stored", 2, "critical")
    (alert,) = alerts["items"]
    assert (alert["rule"], alert["opened_step"], alert["state"]) == ("non-finite", 2, "firing")
    assert alert["layers"] == ["fc2.weight"]
    assert alert["run_id"] == run["id"]
    assert alert["advice"]


TRAINING = """
import torch

torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
loader = [torch.randn(4, 8) for _ in range(40)]


def train_loss(model, batch):
    return (model(batch) - batch.sum(1, keepdim=True)).square().mean()


"""


@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
def test_the_three_lines_watch_a_model(server: Server, http: httpx.Client) -> None:
    lines = block_after("## Watch a PyTorch model: three lines", "python")
    assert len(re.findall(r"# [123]\b", lines)) == 3
    subprocess.run(
        [sys.executable, "-c", TRAINING + lines],
        env={**os.environ, "GRADWATCH_URL": server.url},
        check=True,
        timeout=120,
    )
    (run,) = http.get("/runs").json()["items"]
    assert (run["project"], run["name"], run["state"]) == ("lm", "gpt-small", "finished")
    assert (run["last_step"], run["layers_count"]) == (39, 4)
    series = http.get(f"/runs/{run['id']}/series", params={"metric": "loss"}).json()
    assert series["steps"] == list(range(40))
