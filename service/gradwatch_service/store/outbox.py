"""The outbox: which alerts have changed so that people may have to be told."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from gradwatch_service.store.codec import Json
from gradwatch_service.store.notice_tables import outbox
from gradwatch_service.store.upsert import inserting

# What people are told of; that an alert goes on, or is worded anew, is no news.
TELLING = ("state", "severity", "regressed", "actionable")


class Change(NamedTuple):
    """An alert that has changed; ``version``: the run's after it."""

    run_id: uuid.UUID
    alert_id: uuid.UUID
    project: str
    version: int


def is_news(before: Json | None, after: Json) -> bool:
    """Whether somebody may have to be told of it; both as in ``GET /alerts``."""
    return before is None or any(before[key] != after[key] for key in TELLING)


def note(connection: Connection, changes: Sequence[Change], now: dt.datetime) -> None:
    """Note changes, each alert once; of one that is noted already, the version moves on.

    ``changed_at`` stays that of the first change until somebody has considered it.
    """
    if not changes:
        return
    statement = inserting(connection, outbox)
    statement = statement.on_conflict_do_update(
        index_elements=["run_id", "alert_id"], set_={"version": statement.excluded.version}
    )
    connection.execute(statement, [{**one._asdict(), "changed_at": now} for one in changes])
