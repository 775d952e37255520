"""The client alone, installed into an empty environment: few packages, and it does its work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import Server

ROOT = Path(__file__).parents[2]
BROUGHT_BY_HTTPX = {"anyio", "certifi", "h11", "httpcore", "idna", "typing_extensions"}
JOB = """
import gradwatch
with gradwatch.init("alone", id="{run}") as run:
    for step in range(100):
        run.log(step, loss=1.0, layers={{"fc": {{"grad_norm": 1.0 if step < 90 else 9.0 ** step}}}})
    assert run.flush(30), run.counts
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment into which nothing but the client was installed."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned = ["-c", ROOT / "constraints.txt", ROOT]
    subprocess.run([folder / "bin/python", *install, *pinned], check=True, timeout=300)
    return folder / "bin"


def said(*command: str | Path, url: str = "http://127.0.0.1:9", given: str = "") -> str:
    done = subprocess.run(
        command,
        input=given,
        env={"GRADWATCH_URL": url},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_brings_three_packages_and_what_httpx_needs(alone: Path):
    listed = json.loads(said(alone / "python", "-m", "pip", "list", "--format", "json"))
    names = {str(package["name"]).lower() for package in listed} - {"pip", "setuptools"}
    assert names - BROUGHT_BY_HTTPX == {"gradwatch", "httpx", "msgpack", "numpy"}


def test_a_job_reports_and_is_watched(alone: Path, standing_server: Server):
    run = "0194f9a0-0000-7000-8000-00000000a10e"
    said(alone / "python", "-c", JOB.format(run=run), url=standing_server.url)
    url = f"{standing_server.api}/alerts"
    alerts = httpx.get(url, params={"run": run}, trust_env=False).json()["items"]
    assert ["fc"] in [alert["layers"] for alert in alerts]


def test_its_commands_work(alone: Path, standing_server: Server):
    url = standing_server.url
    assert said(alone / "gradwatch", "--version").startswith("gradwatch ")
    said(alone / "gradwatch", "push", "--project", "piped", url=url, given='{"step":0,"loss":1}\n')
    assert "piped" in said(alone / "gradwatch", "runs", url=url)


def test_commands_of_the_service_say_what_is_missing(alone: Path):
    done = subprocess.run(
        [alone / "gradwatch", "serve"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "pip install 'gradwatch[service]'" in done.stderr) == (2, True)
