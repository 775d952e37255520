"""Shared fixtures: real databases, real servers, and the rule that nothing required is skipped."""

import os
import sys

from hypothesis import settings

from tests.reliability.counts import FULL

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes would compile everything anew
sys.dont_write_bytecode = False
settings.register_profile("brief", derandomize=True, deadline=None)
if not FULL:
    settings.load_profile("brief")

pytest_plugins = [
    "tests.requirements",
    "tests.databases",
    "tests.servers",
    "tests.listener",
    "tests.receivers",
]
