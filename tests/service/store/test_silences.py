"""Silences as they are stored: to come, holding, over."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from gradwatch_service.errors import NotFound
from gradwatch_service.store import silences
from gradwatch_service.store.database import for_writing
from gradwatch_service.store.silences import Matcher, Silence

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with for_writing(engine).begin() as opened:
        yield opened


def silence(number: int, start: int, end: int, project: str = "p") -> Silence:
    """From ``start`` to ``end`` hours after NOW."""
    return Silence(
        id=uuid.UUID(int=number),
        project=project,
        matchers=(Matcher("cause", "=~", "plateau|no-.*"), Matcher("tag", "!=", "ü")),
        comment="we know",
        created_by="ada",
        starts_at=NOW + start * HOUR,
        ends_at=NOW + end * HOUR,
        created_at=NOW + number * HOUR,
    )


PENDING, ACTIVE, EXPIRED = silence(1, 1, 2), silence(2, -1, 1), silence(3, -2, 0)
ELSEWHERE = silence(4, -1, 1, "q")


@pytest.fixture(autouse=True)
def known(connection: Connection) -> None:
    for one in (PENDING, ACTIVE, EXPIRED, ELSEWHERE):
        silences.add(connection, one)


def test_a_silence_comes_back_as_it_was_stored(connection: Connection) -> None:
    assert silences.get(connection, ACTIVE.id) == ACTIVE
    with pytest.raises(NotFound):
        silences.get(connection, uuid.uuid4())


def test_what_holds_now_is_found_in_one_project_and_in_all(connection: Connection) -> None:
    assert silences.active(connection, NOW) == (ACTIVE, ELSEWHERE)
    assert silences.active(connection, NOW, "p") == (ACTIVE,)
    assert silences.active(connection, NOW + HOUR, "p") == (PENDING,)


def test_a_list_says_how_each_stands_now(connection: Connection) -> None:
    items = silences.list_silences(connection, NOW, project="p").items
    assert [(one["id"], one["state"]) for one in items] == [
        (str(EXPIRED.id), "expired"),
        (str(ACTIVE.id), "active"),
        (str(PENDING.id), "pending"),
    ]
    for state in ("pending", "active", "expired"):
        found = silences.list_silences(connection, NOW, state=state).items  # type: ignore[arg-type]
        assert {one["state"] for one in found} == {state}


def test_pages_of_a_list_cover_it_once(connection: Connection) -> None:
    seen: list[object] = []
    cursor: str | None = None
    while not seen or cursor is not None:
        page = silences.list_silences(connection, NOW, cursor=cursor, limit=1)
        seen += [one["id"] for one in page.items]
        cursor = page.next_cursor
    assert seen == [str(one.id) for one in (ELSEWHERE, EXPIRED, ACTIVE, PENDING)]


@pytest.mark.parametrize("known_as", [PENDING, ACTIVE])
def test_a_silence_ends_before_its_time(connection: Connection, known_as: Silence) -> None:
    silences.expire(connection, known_as.id, NOW)
    found = silences.get(connection, known_as.id)
    assert (found.state(NOW), found.ends_at) == ("expired", NOW)
    assert found.starts_at <= NOW
    silences.expire(connection, known_as.id, NOW + HOUR)
    assert silences.get(connection, known_as.id).ends_at == NOW


def test_a_silence_that_never_was_cannot_end(connection: Connection) -> None:
    with pytest.raises(NotFound):
        silences.expire(connection, uuid.uuid4(), NOW)
