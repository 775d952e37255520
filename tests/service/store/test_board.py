"""The rows of the board on both databases: order, filters, counts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.domain import Severity
from gradwatch_service.store import alerts, board
from gradwatch_service.store.alert_filters import AlertFilters
from gradwatch_service.store.board import Wanted
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.launches import RunRequest, create_or_resume_run
from gradwatch_service.store.tables import runs
from tests.alerting import NOW, set_alert


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_writing(engine).begin() as opened:
        yield opened


def run(
    connection: Connection, name: str, *, tags: list[str] | None = None, age: int = 0, **is_: Any
) -> uuid.UUID:
    project = is_.pop("project", "p")
    request = RunRequest(uuid.uuid4(), project, name, tags=tags or [])
    create_or_resume_run(connection, request, NOW)
    seen = {"last_seen_at": NOW - dt.timedelta(minutes=age), **is_}
    connection.execute(sa.update(runs).where(runs.c.run_id == request.id).values(seen))
    return request.id


def names(
    connection: Connection, skip: int = 0, limit: int | None = None, **wanted: Any
) -> list[str]:
    found = board.entries(connection, Wanted(**wanted), skip=skip, limit=limit)
    return [entry.name for entry in found]


def test_firing_comes_first_then_health_then_who_was_seen_last(connection: Connection) -> None:
    run(connection, "old", age=9)
    run(connection, "new", age=1)
    run(connection, "warned", age=5, health="warning")
    ended = run(connection, "ended badly", age=5, health="critical")
    set_alert(connection, ended, "resolved")
    for name, age in (("dies", 3), ("dies, too", 2)):
        set_alert(connection, run(connection, name, age=age, health="critical"))
    told = run(connection, "for information")
    set_alert(connection, told, severity=Severity.INFO)
    expected = ["dies, too", "dies", "ended badly", "warned", "for information", "new", "old"]
    assert names(connection) == expected
    assert names(connection, skip=2, limit=2) == expected[2:4]


def test_filters_narrow_rows_and_counts_alike(connection: Connection) -> None:
    run(connection, "GPT_small", tags=["a", "b%"], state="finished")
    run(connection, "gpt-large", tags=["ab"], project="q", health="critical")
    other = run(connection, "vit", tags=['say "a"'])
    for wanted, expected in (
        ({"name": "gpt"}, {"GPT_small", "gpt-large"}),
        ({"name": "T_s"}, {"GPT_small"}),
        ({"tag": "a"}, {"GPT_small"}),
        ({"tag": "b%"}, {"GPT_small"}),
        ({"tag": 'say "a"'}, {"vit"}),
        ({"project": "q"}, {"gpt-large"}),
        ({"health": "critical"}, {"gpt-large"}),
        ({"state": "finished"}, {"GPT_small"}),
        ({"runs": [other, uuid.uuid4()]}, {"vit"}),
        ({"runs": []}, set()),
    ):
        assert set(names(connection, **wanted)) == expected, wanted
        assert board.count(connection, Wanted(**wanted)) == len(expected)


def test_the_tags_of_a_project_are_offered_in_order(connection: Connection) -> None:
    run(connection, "one", tags=["b", "a"])
    run(connection, "two", tags=["c", "a"], project="q")
    assert board.tags(connection, None) == ["a", "b", "c"]
    assert board.tags(connection, "q") == ["a", "c"]


def test_the_gravest_alerts_come_first_and_are_counted(connection: Connection) -> None:
    graves = (Severity.INFO, Severity.CRITICAL, Severity.WARNING)
    for severity in graves:
        set_alert(connection, run(connection, severity.label), severity=severity)
    set_alert(connection, run(connection, "seen"), "acknowledged")
    found = alerts.gravest(connection, AlertFilters("p", states=("firing",)), 2)
    assert [alert["severity"] for alert in found] == ["critical", "warning"]
    assert len(alerts.ids(connection, AlertFilters(states=("firing",)))) == 3
    assert alerts.ids(connection, AlertFilters("q", states=("firing",))) == []
