"""Deliveries as people see them, on every database."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import Connection, Engine

from gradwatch_service.store import deliveries, letters
from gradwatch_service.store.deliveries import Delivery
from tests.alerting import NOW, PROJECT, new_run

CHAT, MAIL, NEW = (uuid.UUID(int=number) for number in range(1, 4))


def plan(connection: Connection, channel_id: uuid.UUID, tried: int | None) -> Delivery:
    row = Delivery(
        run_id=new_run(connection),
        delivery_id=uuid.uuid4(),
        channel_id=channel_id,
        project=PROJECT,
        kind="firing",
        body={"reason": "firing-new"},
        created_at=NOW,
        due_at=NOW,
        attempted_at=None if tried is None else NOW + dt.timedelta(seconds=tried),
    )
    deliveries.add(connection, row)
    return row


def test_the_newest_of_a_channel_is_what_was_tried_last_not_what_still_waits(engine: Engine):
    with engine.begin() as connection:
        plan(connection, CHAT, 1)
        last = plan(connection, CHAT, 3)
        plan(connection, CHAT, 2)
        plan(connection, CHAT, None)
        of_mail = plan(connection, MAIL, 0)
        plan(connection, NEW, None)
        found = letters.newest_of(connection, [CHAT, MAIL, NEW])
        page = letters.list_deliveries(connection, PROJECT, None)
    assert found == {CHAT: last, MAIL: of_mail}
    assert {last.run_id, of_mail.run_id} < set(letters.runs_of(page))
