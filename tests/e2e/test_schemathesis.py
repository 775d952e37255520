"""The OpenAPI document and a real server, compared by everything that Schemathesis can check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reliability.counts import times
from tests.servers import Server

EXAMPLES = times(15, 200)
SEED = 7
PHASES = "examples,coverage,fuzzing,stateful"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PROGRAM = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.mark.timeout(1_200)
def test_the_service_keeps_what_its_document_says(server: Server, tmp_path: Path):
    pytest.importorskip("schemathesis")
    command = [
        PROGRAM, "--config-file", CONFIGURATION, "run", f"{server.url}/openapi.json",
        "--checks", "all", "--phases", PHASES, "--max-examples", str(EXAMPLES),
        "--seed", str(SEED), "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), check=False, cwd=tmp_path, capture_output=True, text=True
    )
    said = done.stdout[-20_000:] + done.stderr[-3_000:]
    assert done.returncode == 0, said
    tested = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert tested, said
    assert len(set(tested.groups())) == 1, said
    print(re.findall(r"\d+ generated, .*", done.stdout))
