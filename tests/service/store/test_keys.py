from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gradwatch_service.errors import Conflict, NotFound
from gradwatch_service.store import audit, keys, projects
from gradwatch_service.store.key_text import digest_of
from gradwatch_service.store.keys import Admin, Issued, KeyRequest
from gradwatch_service.store.schema import metadata

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def admin(now: dt.datetime = NOW, project: str | None = None) -> Admin:
    return Admin("anna", project, now)


def issue(
    connection: Connection, expires: dt.timedelta | None = 90 * DAY, project: str = "lm"
) -> Issued:
    expires_at = None if expires is None else NOW + expires
    return keys.create(
        connection, KeyRequest(project, "laptop", ["read", "ingest"], expires_at), admin()
    )


def found(connection: Connection, issued: Issued) -> keys.Key | None:
    return keys.find(connection, issued.key.key_id, digest_of(issued.text))


def test_a_key_is_found_by_its_secret_and_by_no_other(engine: Engine):
    with engine.begin() as connection:
        one, other = issue(connection), issue(connection)
        assert found(connection, one) == one.key
        assert one.key.scopes == ("ingest", "read")
        assert keys.find(connection, one.key.key_id, digest_of(other.text)) is None
        assert keys.find(connection, "0000000000", digest_of(one.text)) is None


def test_the_secret_is_nowhere_in_the_database(engine: Engine):
    with engine.begin() as connection:
        issued = issue(connection)
        secret = issued.text.split("_")[2]
        for table in metadata.tables.values():
            for row in connection.execute(sa.select(table)):
                assert secret not in str(tuple(row))
                assert secret[:32] not in str(tuple(row))


def test_a_key_expires_and_is_revoked_for_good(engine: Engine):
    with engine.begin() as connection:
        issued = issue(connection, DAY)
        assert issued.key.state(NOW + DAY - dt.timedelta(seconds=1)) == "active"
        assert issued.key.state(NOW + DAY) == "expired"
        assert issue(connection, None).key.state(NOW + 10_000 * DAY) == "active"
        for when in (NOW + dt.timedelta(hours=1), NOW + dt.timedelta(hours=2)):
            keys.revoke(connection, issued.key.key_id, admin(when))
        revoked = found(connection, issued)
        assert revoked is not None
        assert revoked.state(NOW) == "revoked"
        assert revoked.revoked_at == NOW + dt.timedelta(hours=1)


def test_a_rotated_key_lives_on_for_the_grace_period_and_the_new_one_as_long_as_it_did(
    engine: Engine,
):
    with engine.begin() as connection:
        old, later = issue(connection, 90 * DAY), NOW + 80 * DAY
        new = keys.rotate(connection, old.key.key_id, 2 * DAY, admin(later))
        kept = found(connection, old)
        assert kept is not None
        assert kept.expires_at == later + 2 * DAY
        assert new.key.expires_at == later + 90 * DAY
        assert (new.key.name, new.key.scopes) == (old.key.name, old.key.scopes)
        assert found(connection, new) == new.key


def test_rotating_never_makes_the_old_key_live_longer(engine: Engine):
    with engine.begin() as connection:
        old = issue(connection, 90 * DAY)
        keys.rotate(connection, old.key.key_id, 30 * DAY, admin(NOW + 89 * DAY))
        kept = found(connection, old)
        assert kept is not None
        assert kept.expires_at == NOW + 90 * DAY


def test_what_opens_nothing_cannot_be_rotated(engine: Engine):
    with engine.begin() as connection:
        over, revoked = issue(connection, DAY), issue(connection)
        keys.revoke(connection, revoked.key.key_id, admin())
        for issued in (over, revoked):
            with pytest.raises(Conflict, match="make a new one"):
                keys.rotate(connection, issued.key.key_id, DAY, admin(NOW + 2 * DAY))


def test_another_projects_key_is_not_there(engine: Engine):
    with engine.begin() as connection:
        issued = issue(connection, project="lm")
        with pytest.raises(NotFound):
            keys.revoke(connection, issued.key.key_id, admin(project="vision"))
        with pytest.raises(NotFound):
            keys.rotate(connection, issued.key.key_id, DAY, admin(project="vision"))
        assert keys.of_project(connection, "vision") == ()
        assert keys.of_project(connection, "lm") == (issued.key,)


def test_use_is_noted_once_a_minute(engine: Engine):
    with engine.begin() as connection:
        issued = issue(connection)
        for seconds in (0, 30, 59, 61):
            when = NOW + dt.timedelta(seconds=seconds)
            keys.note_use(connection, issued.key.key_id, when)
            key = found(connection, issued)
            assert key is not None
            assert key.last_used_at == (NOW if seconds < 60 else when)
            assert key.needs_note(when + dt.timedelta(seconds=60))
            assert not key.needs_note(when + dt.timedelta(seconds=0.5))


def test_whether_there_is_any_key_that_opens_something(engine: Engine):
    with engine.begin() as connection:
        assert not keys.are_any(connection, NOW)
        issued = issue(connection, DAY)
        assert keys.are_any(connection, NOW)
        assert not keys.are_any(connection, NOW + DAY)
        keys.revoke(connection, issued.key.key_id, admin())
        assert not keys.are_any(connection, NOW)
        issue(connection, None)
        assert keys.are_any(connection, NOW + 10_000 * DAY)


def test_every_act_is_written_down_with_who_did_it(engine: Engine):
    with engine.begin() as connection:
        issued = issue(connection)
        later = NOW + DAY
        new = keys.rotate(connection, issued.key.key_id, DAY, admin(later))
        keys.revoke(connection, issued.key.key_id, admin(later + DAY))
        items = audit.entries(connection, "lm").items
    assert [(item["act"], item["actor"]) for item in items] == [
        ("key-revoked", "anna"),
        ("key-rotated", "anna"),
        ("key-made", "anna"),
    ]
    assert items[1]["target"] == issued.key.key_id
    detail = {"name": "laptop", "scopes": ["ingest", "read"], "to": new.key.key_id}
    assert items[1]["detail"] == detail


def test_a_key_makes_its_project_known(engine: Engine):
    with engine.begin() as connection:
        for _ in range(2):
            issue(connection, project="lm")
        issue(connection, project="vision")
        assert [item["name"] for item in projects.seen_by(connection, None)] == ["lm", "vision"]
        assert projects.seen_by(connection, "vision") == (
            {"name": "vision", "runs": 0, "newest_run_at": None},
        )
