"""Fails tests that were skipped although ``GRADWATCH_TEST_REQUIRE="torch postgres"`` names them."""

import os
from collections.abc import Iterator

import pytest

REQUIRED = frozenset(os.environ.get("GRADWATCH_TEST_REQUIRE", "").split())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of a required test into a failure that names the requirement."""
    report = yield
    missing = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and not hasattr(report, "wasxfail") and missing:
        report.outcome = "failed"
        report.longrepr = f"skipped, but {sorted(missing)} is required here: {report.longrepr}"
    return report
