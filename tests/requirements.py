"""Which tests have to run.

Fails tests that were skipped although ``GRADWATCH_TEST_REQUIRE="torch postgres"`` names them;
leaves out those that are marked ``sqlite_in_brief`` on PostgreSQL, unless everything is asked for.
"""

import os
from collections.abc import Iterator

import pytest

from tests.reliability.counts import FULL

REQUIRED = frozenset(os.environ.get("GRADWATCH_TEST_REQUIRE", "").split())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests that take long and ask little of the database, one database will do."""
    left_out = [] if FULL else [item for item in items if _is_left_out(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def _is_left_out(item: pytest.Item) -> bool:
    return {"postgres", "sqlite_in_brief"} <= {mark.name for mark in item.iter_markers()}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of a required test into a failure that names the requirement."""
    report = yield
    missing = REQUIRED & {mark.name for mark in item.iter_markers()}
    if report.skipped and not hasattr(report, "wasxfail") and missing:
        report.outcome = "failed"
        report.longrepr = f"skipped, but {sorted(missing)} is required here: {report.longrepr}"
    return report
