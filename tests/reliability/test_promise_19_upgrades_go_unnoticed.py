"""The schema moves on under load: one process migrates, nothing fails, the version before goes
on."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import subprocess
import time
from collections.abc import Iterator, Mapping
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from gradwatch_service.store.database import for_writing, make_engine
from gradwatch_service.store.migration import migrate
from gradwatch_service.store.schema import metadata
from gradwatch_service.store.upgrading import alembic_config
from tests.databases import migrate_at
from tests.reliability.counts import times
from tests.reliability.pushers import Pusher, check_stored, progress, pushing
from tests.rows import value
from tests.servers import COMMAND, Server, poll

ROOT = Path(__file__).parents[2]
RACERS = 8
ROWS = times(1_000, 50_000)  # in every table
ACKS = times(5, 50)
LOCK_SECONDS_MAX = 3.0


class Steps(logging.Handler):
    """Counts the migrations that alembic says it runs."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Running upgrade")


def race(url: str, told: SimpleQueue[int]) -> None:
    steps, logger = Steps(), logging.getLogger("alembic.runtime.migration")
    logger.addHandler(steps)
    logger.setLevel(logging.INFO)
    migrate_at(url)
    told.put(steps.count)


def downgrade(url: str, revision: str = "-1") -> None:
    engine = make_engine(url)
    with for_writing(engine).begin() as connection:
        command.downgrade(alembic_config(connection), revision)
    engine.dispose()


def revisions() -> list[str]:
    """All of them, the oldest first."""
    with sa.create_engine("sqlite://").connect() as connection:
        folder = ScriptDirectory.from_config(alembic_config(connection))
        return [step.revision for step in folder.walk_revisions()][::-1]


@pytest.mark.parametrize("start", ["base", "-1"], ids=["fresh", "old"])
def test_eight_processes_race_and_exactly_one_migrates(empty_database_url: str, start: str):
    expected = {"base": len(revisions()), "-1": 1}[start]
    migrate_at(empty_database_url)
    downgrade(empty_database_url, start)
    context = multiprocessing.get_context("forkserver")
    told = context.SimpleQueue()
    racers = [context.Process(target=race, args=(empty_database_url, told)) for _ in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0] * RACERS
    assert sorted(told.get() for _ in racers) == [0] * (RACERS - 1) + [expected]
    engine = make_engine(empty_database_url)
    assert set(metadata.tables) < set(sa.inspect(engine).get_table_names())
    engine.dispose()


def fill(engine: Engine) -> list[sa.Table]:
    """Rows in every table there is, so that a migration has something to go through."""
    present = sa.inspect(engine)
    tables = [table for name, table in metadata.tables.items() if present.has_table(name)]
    with for_writing(engine).begin() as connection:
        for table in tables:
            names = {column["name"] for column in present.get_columns(table.name)}
            columns = [column for column in table.columns if column.name in names]
            rows = [
                {column.name: value(column, number) for column in columns} for number in range(ROWS)
            ]
            connection.execute(sa.insert(table), rows)
    return tables


def test_a_migration_holds_its_lock_for_three_seconds_at_most(engine: Engine, database_url: str):
    downgrade(database_url)
    filled = fill(engine)
    start = time.monotonic()
    migrate(engine)
    assert time.monotonic() - start <= LOCK_SECONDS_MAX
    with engine.connect() as connection:
        for table in filled:
            count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar()
            assert count == ROWS


def test_each_migration_keeps_what_the_version_before_reads_and_writes(empty_database_url: str):
    engine = make_engine(empty_database_url)
    before = sa.MetaData()
    for revision in revisions():
        with for_writing(engine).begin() as connection:
            command.upgrade(alembic_config(connection), revision)
        after = sa.MetaData()
        after.reflect(engine)
        for name, old in before.tables.items():
            assert name in after.tables
            new = after.tables[name]
            assert set(old.columns.keys()) <= set(new.columns.keys())
            for column in new.columns:
                known = column.name in old.columns
                assert known or column.nullable or column.server_default is not None
        before = after
    engine.dispose()


@contextlib.contextmanager
def killed_at_the_end(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        server.kill()


@contextlib.contextmanager
def loaded(servers: list[Server], http: httpx.Client) -> Iterator[tuple[str, list[Pusher]]]:
    """Clients at work on a new run; afterwards all that was acknowledged must be there."""
    run = http.post("/runs", json={"project": "upgrade"}).json()["id"]
    with pushing([server.api for server in servers], run) as pushers:
        poll(progress(pushers, ACKS), "the clients are at work")
        yield run, pushers


@pytest.fixture
def servers(server: Server, backend: str, tmp_path: Path) -> Iterator[list[Server]]:
    """All that may serve a database at once: one on SQLite, two on PostgreSQL."""
    more = [] if backend == "sqlite" else [Server(server.database_url, tmp_path / "2.log").start()]
    yield [server, *more]
    for one in more:
        one.kill()


def test_a_database_of_the_version_before_is_upgraded_under_load(
    servers: list[Server], http: httpx.Client
):
    url = servers[0].database_url
    with loaded(servers, http) as (run, pushers):
        for one in servers:
            one.stop()
        downgrade(url)
        for one in servers:
            one.launch()  # each of them finds that it has to migrate
        for one in servers:
            one.wait_until_ready()
        poll(progress(pushers, ACKS), "the clients go on")
        migrate_at(url)
        poll(progress(pushers, ACKS), "the clients go on after others have come to migrate")
    check_stored(http, run, pushers)


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    if done.returncode or not done.stdout.strip():
        pytest.skip("the history that holds the version before is not here")
    return done.stdout


@pytest.fixture
def version_before(tmp_path: Path) -> Mapping[str, str]:
    """The environment in which the code from before the newest migration runs."""
    with sa.create_engine("sqlite://").connect() as connection:
        newest = ScriptDirectory.from_config(alembic_config(connection)).get_revision("head").path
    added = git("log", "-1", "--diff-filter=A", "--format=%H", "--", newest).decode().strip()
    tree = git("archive", f"{added}^", "service", "client", "migrations")
    folder = tmp_path / "before"
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=tree, check=True)
    return {"PYTHONPATH": f"{folder}/client:{folder}/service"}


@pytest.fixture
def old_server(
    empty_database_url: str, version_before: Mapping[str, str], tmp_path: Path
) -> Iterator[Server]:
    log = tmp_path / "old.log"
    running = Server(empty_database_url, log, program=COMMAND, environment=version_before).start()
    yield running
    running.kill()


def test_servers_of_this_version_and_of_the_one_before_are_exchanged_under_load(
    old_server: Server, backend: str, tmp_path: Path
):
    new = Server(old_server.database_url, tmp_path / "new.log")
    with (
        killed_at_the_end(new),
        httpx.Client(base_url=old_server.api, timeout=30, trust_env=False) as http,
    ):
        with loaded([old_server, new], http) as (run, pushers):
            if backend == "sqlite":
                old_server.stop()
            new.start()
            poll(progress(pushers, ACKS), "the clients go on")
            old_server.stop()
            poll(progress(pushers, ACKS), "the clients go on without the old server")
        http.base_url = new.api
        check_stored(http, run, pushers)
