"""Which tests have to run.

Fails tests that were skipped although ``GRADWATCH_TEST_REQUIRE="torch postgres"`` names them;
leaves out those that are marked ``sqlite_in_brief`` on PostgreSQL, unless everything is asked for.
"""

import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

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
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """A file that is skipped as a whole has no tests any more: its text says what it requires."""
    report = yield
    if report.skipped and isinstance(collector, pytest.Module):
        text = collector.path.read_text(encoding="utf-8")
        _fail(report, {name for name in REQUIRED if f"pytest.mark.{name}" in text})
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of a required test into a failure that names the requirement."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _fail(report, REQUIRED & {mark.name for mark in item.iter_markers()})
    return report


def _fail(report: pytest.CollectReport | pytest.TestReport, missing: AbstractSet[str]) -> None:
    if missing:
        report.outcome = "failed"
        report.longrepr = f"skipped, but {sorted(missing)} is required here: {report.longrepr}"
