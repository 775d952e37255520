"""Shared fixtures: real databases, real servers, and the rule that nothing required is skipped."""

import os

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many servers would compile everything anew

pytest_plugins = [
    "tests.requirements",
    "tests.databases",
    "tests.servers",
    "tests.listener",
    "tests.receivers",
]
