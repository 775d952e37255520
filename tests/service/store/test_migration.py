"""The schema under test is the migrated one; however many processes bring it there."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from gradwatch_service.errors import Unavailable
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.migration import HEAD, migrate
from gradwatch_service.store.schema import metadata, run_tables
from gradwatch_service.store.tables import runs
from gradwatch_service.store.upgrading import alembic_config, migrations_folder
from tests.databases import POSTGRES

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)


def test_the_migrated_schema_is_the_one_in_the_code(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        versions = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalars()
        assert versions.all() == ["0007_handed"]


def test_a_database_of_the_first_version_is_upgraded_with_its_runs(
    empty_database_url: str,
) -> None:
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001_spine")
        words = dict.fromkeys(("project", "name", "state", "health", "layers_hash"), "x")
        numbers = dict.fromkeys(("open_alerts", "attempt", "layers_count", "pushes", "version"), 0)
        times = dict.fromkeys(("active_since", "started_at", "last_seen_at"), NOW)
        run = {"run_id": uuid.UUID(int=1), "config": {}, "tags": [], **words, **numbers, **times}
        connection.execute(sa.insert(runs).values(run))
    migrate(engine)
    with engine.connect() as connection:
        (found,) = connection.execute(sa.select(runs)).all()
        assert (found.run_id, found.longest_pause_ms) == (uuid.UUID(int=1), 0)
    engine.dispose()


def test_a_schema_of_a_later_version_is_left_as_it_is(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    later = sa.text("UPDATE alembic_version SET version_num = '9999_later'")
    with engine.begin() as connection:
        connection.execute(later)
    migrate(engine)
    assert "9999_later" in caplog.text
    with engine.connect() as connection:
        version = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    assert version == "9999_later"


def test_every_table_of_runs_begins_its_primary_key_with_the_run() -> None:
    assert {next(iter(table.primary_key)).name for table in run_tables()} == {"run_id"}
    shared = set(metadata.tables.values()) - set(run_tables())
    assert {table.name for table in shared} == {
        "audit",
        "channels",
        "heartbeats",
        "keys",
        "projects",
        "rules",
        "sessions",
        "silences",
        "turns",
    }


def test_the_schema_needs_no_sequence_and_no_trigger(engine: Engine) -> None:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            counts = (
                "SELECT (SELECT count(*) FROM pg_sequences) + (SELECT count(*) FROM pg_trigger)"
            )
        else:
            counts = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
        assert connection.execute(sa.text(counts)).scalar() == 0


@pytest.mark.parametrize("table", ["frames", "chunks", "detector_states"])
@pytest.mark.parametrize("backend", [POSTGRES])
def test_postgresql_does_not_compress_bodies(engine: Engine, table: str) -> None:
    query = (
        "SELECT attstorage FROM pg_attribute "
        "WHERE attrelid = CAST(:name AS regclass) AND attname = 'body'"
    )
    with engine.connect() as connection:
        assert connection.execute(sa.text(query), {"name": table}).scalar() == "e"


def test_the_newest_revision_is_known_without_alembic() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migration_files_are_named_by_date_and_subject() -> None:
    names = sorted(path.name for path in (migrations_folder() / "versions").glob("*.py"))
    assert names == [
        "2026-11-23-silence.py", "2026-11-23-spine.py",
        "2026-11-27-checkpoints.py", "2026-11-27-handed.py", "2026-11-27-team.py",
        "2026-11-27-tiles.py", "2026-11-27-unjudged.py",
    ]  # fmt: skip


def test_a_database_out_of_reach_is_unavailable(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/missing/folder.db")
    with pytest.raises(Unavailable) as caught:
        migrate(engine)
    assert caught.value.retry_after_seconds == 2.0
