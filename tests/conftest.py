"""Shared fixtures: real databases, real servers, and the rule that nothing required is skipped."""

pytest_plugins = [
    "tests.requirements",
    "tests.databases",
    "tests.servers",
    "tests.listener",
    "tests.receivers",
]
