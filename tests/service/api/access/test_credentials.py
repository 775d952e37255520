"""How often the database is asked, and what is remembered for how long."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from gradwatch_service.api.access import credentials
from gradwatch_service.api.access.credentials import Credentials
from gradwatch_service.api.backend import Backend
from gradwatch_service.app import backend as opened
from gradwatch_service.errors import Unauthorized, Unavailable
from gradwatch_service.settings import Settings
from gradwatch_service.store import keys, sessions
from gradwatch_service.store.key_text import new_key
from gradwatch_service.store.keys import Admin, Issued, KeyRequest
from gradwatch_service.store.team_tables import keys as key_table
from tests.servers import poll


@pytest.fixture
def served(tmp_path: Path):
    with opened(Settings(database_url=f"sqlite:///{tmp_path}/x.db")) as served:
        yield served


def issue(served: Backend) -> Issued:
    admin = Admin("test", None, served.clock())
    request = KeyRequest("lm", "anna", ["ingest"], None)
    return served.write(lambda connection: keys.create(connection, request, admin))


def revoke(served: Backend, issued: Issued) -> None:
    admin = Admin("test", None, served.clock())
    served.write(lambda connection: keys.revoke(connection, issued.key.key_id, admin))


def lookups(served: Backend, work: Callable[[Credentials], Awaitable[None]]) -> int:
    """How many times keys were read while this ran."""
    seen: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("SELECT") and "keys" in statement:
            seen.append(statement)

    async def run() -> None:
        await work(Credentials())

    event.listen(served.engine, "before_cursor_execute", note)
    asyncio.run(run())
    event.remove(served.engine, "before_cursor_execute", note)
    return len(seen)


def test_a_thousand_requests_with_one_key_cost_one_query(served: Backend):
    text = issue(served).text.encode()

    async def work(known: Credentials) -> None:
        await asyncio.gather(*(known.of_key(text, served) for _ in range(500)))
        for _ in range(500):
            found = await known.of_key(text, served)
            assert found.principal.project == "lm"

    assert lookups(served, work) == 1


def test_a_typing_mistake_costs_no_query(served: Backend):
    async def work(known: Credentials) -> None:
        for _ in range(10):
            with pytest.raises(Unauthorized) as caught:
                await known.of_key(new_key().text[:-1].encode() + b"-", served)
            assert caught.value.code == "bad-key"

    assert lookups(served, work) == 0


def test_what_is_remembered_is_asked_again_when_its_time_is_over(
    served: Backend, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(credentials, "TTL_SECONDS", 0.05)
    issued = issue(served)

    async def work(known: Credentials) -> None:
        await known.of_key(issued.text.encode(), served)
        revoke(served, issued)
        await asyncio.sleep(0.06)
        with pytest.raises(Unauthorized, match="revoked"):
            await known.of_key(issued.text.encode(), served)

    assert lookups(served, work) >= 2


def test_remembering_takes_less_than_the_five_seconds_that_are_promised():
    assert credentials.TTL_SECONDS < 5


def test_a_session_is_remembered_no_longer_than_its_key_is_good(served: Backend):
    issued = issue(served)
    admin = Admin("test", None, served.clock())

    def begin(connection: sa.Connection) -> str:
        begun = sessions.begin(connection, issued.key, "anna", admin.now)
        keys.rotate(connection, issued.key.key_id, dt.timedelta(seconds=1), admin)
        return begun.token

    token = served.write(begin).encode()

    async def work(known: Credentials) -> None:
        found = await known.of_session(token, served)
        assert found.until <= asyncio.get_running_loop().time() + 1

    lookups(served, work)


def test_memory_has_an_end(served: Backend, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(credentials, "MOST_KNOWN", 2)
    texts = [issue(served).text.encode() for _ in range(3)]

    async def work(known: Credentials) -> None:
        for text in (*texts, texts[2], texts[0]):
            await known.of_key(text, served)

    assert lookups(served, work) == 4


def test_that_a_key_is_used_is_written_down_later_and_once(served: Backend):
    issued = issue(served)

    async def work(known: Credentials) -> None:
        for _ in range(3):
            await known.of_key(issued.text.encode(), served)

    lookups(served, work)
    query = sa.select(key_table.c.last_used_at)

    def is_noted() -> bool:
        with served.reading() as connection:
            return connection.execute(query).scalar_one() is not None

    poll(is_noted, "the use is noted")


def test_when_the_database_is_away_nobody_is_told_that_a_key_is_wrong(
    served: Backend, tmp_path: Path
):
    text = issue(served).text.encode()
    away = sa.create_engine(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    without = Backend(away, served.writer, served.settings, served.clock, served.ballast)

    async def work(known: Credentials) -> None:
        with pytest.raises(Unavailable):
            await known.of_key(text, without)

    lookups(served, work)
    away.dispose()
