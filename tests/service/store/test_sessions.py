import datetime as dt

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.store import audit, keys, sessions
from gradwatch_service.store.key_text import digest_of
from gradwatch_service.store.keys import Admin, Key, KeyRequest
from gradwatch_service.store.sessions import LIFETIME
from gradwatch_service.store.team_tables import sessions as table

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)


def key(connection: Connection, expires_at: dt.datetime | None = None) -> Key:
    request = KeyRequest("lm", "anna", ["read"], expires_at)
    return keys.create(connection, request, Admin("test", None, NOW)).key


def test_a_session_is_found_by_its_token_until_its_time_is_over(engine: Engine):
    with engine.begin() as connection:
        begun = sessions.begin(connection, key(connection), "anna", NOW)
        found = sessions.find(connection, digest_of(begun.token))
        assert found is not None
        assert found.key.name == "anna"
        assert not found.is_over(NOW + LIFETIME - dt.timedelta(seconds=1))
        assert found.is_over(NOW + LIFETIME)
        assert sessions.find(connection, digest_of("x")) is None
        assert audit.entries(connection, "lm").items[0]["act"] == "session-begun"


def test_the_token_is_not_in_the_database(engine: Engine):
    with engine.begin() as connection:
        begun = sessions.begin(connection, key(connection), "anna", NOW)
        rows = connection.execute(sa.select(table)).all()
        assert begun.token not in str(rows)
        assert len(begun.token) >= 43  # 256 bits


def test_a_session_ends_with_its_key(engine: Engine):
    with engine.begin() as connection:
        soon = NOW + dt.timedelta(hours=1)
        short, revoked = key(connection, soon), key(connection)
        begun = [sessions.begin(connection, one, "anna", NOW) for one in (short, revoked)]
        assert begun[0].expires_at == soon
        keys.revoke(connection, revoked.key_id, Admin("test", None, NOW))
        found = [sessions.find(connection, digest_of(one.token)) for one in begun]
        assert [one is not None and one.is_over(NOW) for one in found] == [False, True]


def test_who_signs_out_is_out_and_what_is_over_is_cleared_away(engine: Engine):
    with engine.begin() as connection:
        anna = key(connection)
        first = sessions.begin(connection, anna, "anna", NOW)
        sessions.begin(connection, anna, "anna", NOW)
        for _ in range(2):
            sessions.end(connection, digest_of(first.token))
        assert sessions.find(connection, digest_of(first.token)) is None
        sessions.begin(connection, anna, "anna", NOW + LIFETIME)
        assert len(connection.execute(sa.select(table)).all()) == 1
