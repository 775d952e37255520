"""The examples in other languages, run as they are: each explodes, and is seen to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.e2e.exploded import assert_seen
from tests.servers import Server

EXAMPLES = Path(__file__).parents[2] / "examples"
BREAKS, LAST = 50, 79


def outcome_of(server: Server, command: list[str], path: str | None = None) -> None:
    """Run an example; its explosion must have alerted with the right layer."""
    environment = os.environ | {"GRADWATCH_URL": server.url, "PATH": path or os.environ["PATH"]}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    (run,) = done.stdout.split()
    found = httpx.get(f"{server.api}/runs/{run}", trust_env=False).json()
    assert (found["last_step"], found["project"]) == (LAST, "examples")
    assert_seen(server.api, run, "rnn", BREAKS)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_shell_with_curl(standing_server: Server):
    outcome_of(standing_server, ["sh", str(EXAMPLES / "push.sh")])


def test_json_lines_into_gradwatch_push(standing_server: Server, tmp_path: Path):
    command = tmp_path / "gradwatch"
    program = "import sys; from gradwatch.cli import main; sys.exit(main())"
    command.write_text(f"#!{sys.executable}\n{program}\n")
    command.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    outcome_of(standing_server, ["sh", str(EXAMPLES / "stdin.sh")], path)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_node(standing_server: Server):
    outcome_of(standing_server, ["node", str(EXAMPLES / "push.mjs")])


def test_cpp_with_libcurl(standing_server: Server, tmp_path: Path):
    compiler = shutil.which("c++") or pytest.skip("no C++ compiler is installed")
    program = tmp_path / "push"
    compiled = subprocess.run(
        [
            compiler,
            "-std=c++17",
            "-Wall",
            "-Wextra",
            EXAMPLES / "push.cpp",
            "-lcurl",
            "-o",
            program,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if re.search(r"curl/curl\.h|-lcurl", compiled.stderr):
        pytest.skip("libcurl's headers are not installed")
    assert (compiled.returncode, compiled.stderr) == (0, "")
    outcome_of(standing_server, [str(program)])
