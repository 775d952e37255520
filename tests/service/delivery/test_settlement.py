import threading
import uuid

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.delivery.claims import MINUTE, Claim, claim
from gradwatch_service.delivery.settlement import Outcome
from gradwatch_service.store import deliveries, turns
from gradwatch_service.store.deliveries import Delivery
from gradwatch_service.store.notice_tables import deliveries as table
from tests.alerting import NOW, PROJECT
from tests.databases import POSTGRES
from tests.servers import poll

CHANNEL = (PROJECT, uuid.UUID(int=1))
WAITING = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND datname = current_database()"
)


def claimed(engine: Engine) -> Claim:
    body = {"reason": "", "told": {}}
    one = Delivery(uuid.uuid4(), uuid.uuid4(), CHANNEL[1], PROJECT, "firing", body, NOW, NOW)
    with engine.begin() as connection:
        deliveries.add(connection, one)
        found = claim(connection, CHANNEL, NOW, MINUTE, 10)
    assert found is not None
    return found


@pytest.mark.parametrize("backend", [POSTGRES], indirect=True)
def test_who_settles_waits_for_who_claims_and_keeps_nothing_from_it(engine: Engine):
    outcome = Outcome(claimed(engine))

    def settle() -> None:
        with engine.begin() as connection:
            outcome.write(connection, NOW)

    thread = threading.Thread(target=settle)

    def is_waiting() -> bool:
        with engine.connect() as connection:
            return connection.execute(WAITING).scalar_one() == 1

    with engine.begin() as connection:
        turns.lock(connection, CHANNEL)
        thread.start()
        poll(is_waiting, "the other one waits")
        connection.execute(sa.select(table.c.state).with_for_update(nowait=True))
    thread.join(10)
    with engine.connect() as connection:
        assert connection.execute(sa.select(table.c.state)).scalar_one() == "sent"
