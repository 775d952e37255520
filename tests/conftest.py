"""Shared fixtures: real databases, real servers, and the rule that nothing required is skipped."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from tests.reliability.counts import FULL

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes would compile everything anew
sys.dont_write_bytecode = False
os.environ["GRADWATCH_SPOOL"] = str(Path(tempfile.gettempdir(), "gradwatch-outside-tests"))
settings.register_profile("brief", derandomize=True, deadline=None)
if not FULL:
    settings.load_profile("brief")


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the clients of a test leave what they cannot deliver: never in anybody's home."""
    folder = tmp_path / "spool"
    monkeypatch.setenv("GRADWATCH_SPOOL", str(folder))
    return folder


pytest_plugins = [
    "tests.requirements",
    "tests.databases",
    "tests.servers",
    "tests.listener",
    "tests.receivers",
]
