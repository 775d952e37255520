"""The README does what it says: its curl lines run as printed, its Python lines train a model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import Server

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
