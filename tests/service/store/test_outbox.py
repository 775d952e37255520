"""The outbox: one row an alert, its version grows, its time is that of the first change."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Engine, select

from gradwatch_service.store import outbox
from gradwatch_service.store.notice_tables import outbox as table
from gradwatch_service.store.outbox import Change, is_news

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
RUN, ALERT, OTHER = uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(int=3)
BODY = {"state": "firing", "severity": "error", "regressed": False, "actionable": True}


def test_changes_are_noted_once_an_alert(engine: Engine) -> None:
    later = NOW + dt.timedelta(seconds=5)
    with engine.begin() as connection:
        outbox.note(connection, [], NOW)
        outbox.note(connection, [Change(RUN, ALERT, "p", 3), Change(RUN, OTHER, "p", 3)], NOW)
        outbox.note(connection, [Change(RUN, ALERT, "p", 7)], later)
        found = connection.execute(select(table).order_by(table.c.alert_id)).all()
    assert [(row.alert_id, row.project, row.version, row.changed_at) for row in found] == [
        (ALERT, "p", 7, NOW),
        (OTHER, "p", 3, NOW),
    ]


def test_news_is_what_people_are_told_of() -> None:
    assert is_news(None, BODY)
    assert not is_news(BODY | {"last_step": 3}, BODY | {"last_step": 4})
    for change in (
        {"state": "acknowledged"},
        {"severity": "critical"},
        {"regressed": True},
        {"actionable": False},
    ):
        assert is_news(BODY, BODY | change)
