"""Weights & Biases in its offline mode: jobs that log into files, without a server."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.jobs import Jobs

PROGRAM = "wandb"
JOB = Path(__file__).parents[1] / "wandb_job.py"
ENVIRONMENT = {"WANDB_ERROR_REPORTING": "false"}


def _missing() -> str:
    return "" if shutil.which(PROGRAM) else f"pip install {PROGRAM}, with its bin folder on PATH"


def _command() -> Sequence[str]:
    """The Python that runs W&B's own program has W&B; a script's first line names it."""
    program = Path(shutil.which(PROGRAM) or PROGRAM)
    python = program.read_text().partition("\n")[0].removeprefix("#!")
    return [python.strip(), str(JOB)]


PEER = Jobs("W&B offline", _missing, _command, ENVIRONMENT)
