"""W4 for ``python -m benchmarks.load``: in a process of its own, where PyTorch is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

PROGRAM = "benchmarks.load.overhead"


def lines(device: str | None, *, peers: bool) -> Iterator[str]:
    """The lines that it prints, or the one that says why not, as soon as they are known."""
    if find_spec("torch") is None:
        yield "W4  skipped (pip install torch)"
        return
    options = [*(["--device", device] if device else []), *([] if peers else ["--no-peers"])]
    command = [sys.executable, "-m", PROGRAM, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield from (line.rstrip("\n") for line in process.stdout)
        finally:
            process.terminate()
    if process.returncode:
        raise SystemExit(f"{PROGRAM} ended with {process.returncode}")
