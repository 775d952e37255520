from __future__ import annotations

import pytest

from gradwatch_service import commands, key_commands
from gradwatch_service.clock import utc_now
from gradwatch_service.store import audit, keys
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.key_text import digest_of, key_id_of
from tests.databases import POSTGRES


def run(database_url: str, *argv: str) -> int:
    return commands.keys([*argv, "--database-url", database_url])


def test_a_key_is_made_listed_rotated_and_revoked(
    database_url: str, capsys: pytest.CaptureFixture[str]
):
    made = ("create", "--project", "lm", "--scope", "admin", "--name", "anna", "--expires", "30d")
    assert run(database_url, *made) == commands.DONE
    text, said = capsys.readouterr().out.splitlines()
    key_id = key_id_of(text)
    assert key_id is not None
    assert said.startswith(f"{key_id}: admin of lm, expires 2")
    assert run(database_url, "rotate", key_id, "--grace", "2h") == commands.DONE
    new, _, ends = capsys.readouterr().out.splitlines()
    assert ends == f"{key_id} ends in 2:00:00"
    assert run(database_url, "revoke", key_id) == commands.DONE
    assert f"{key_id} (anna, lm) is revoked" in capsys.readouterr().out
    assert run(database_url, "list", "--project", "lm") == commands.DONE
    listed = capsys.readouterr().out
    assert "revoked" in listed
    assert "active" in listed
    assert text not in listed
    engine = make_engine(database_url)
    with engine.connect() as connection:
        found = keys.find(connection, key_id_of(new) or "", digest_of(new))
        assert found is not None
        assert found.state(utc_now()) == "active"
        acts = audit.entries(connection, "lm").items
    engine.dispose()
    assert [(item["actor"], item["act"]) for item in acts] == [
        ("command line", "key-revoked"),
        ("command line", "key-rotated"),
        ("command line", "key-made"),
    ]


@pytest.mark.parametrize("backend", [POSTGRES], indirect=True)
def test_the_time_is_the_databases(database_url: str, capsys: pytest.CaptureFixture[str]):
    engine = make_engine(database_url)
    with engine.begin() as connection:
        for statement in (
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            "AS $$ SELECT timestamptz '2031-05-01 12:00:00+00' $$",
            f"ALTER DATABASE {engine.url.database} SET search_path = public, pg_catalog",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    made = ("create", "--project", "lm", "--scope", "read", "--expires", "1d")
    assert run(database_url, *made) == commands.DONE
    text, said = capsys.readouterr().out.splitlines()
    assert "expires 2031-05-02 12:00 UTC" in said
    assert run(database_url, "revoke", str(key_id_of(text))) == commands.DONE
    engine = make_engine(database_url)
    with engine.connect() as connection:
        acts = audit.entries(connection, "lm").items
    engine.dispose()
    assert {item["at"] for item in acts} == {"2031-05-01T12:00:00.000Z"}


def test_a_key_may_have_two_scopes_and_never_expire(
    database_url: str, capsys: pytest.CaptureFixture[str]
):
    scopes = ("--scope", "read", "--scope", "ingest")
    assert run(database_url, "create", "--project", "lm", *scopes, "--expires", "never") == 0
    assert ": ingest read of lm, expires never. " in capsys.readouterr().out


def test_a_key_that_is_not_there_is_said(database_url: str, capsys: pytest.CaptureFixture[str]):
    assert run(database_url, "revoke", "0000000000") == commands.FAILED
    assert "no such key" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["create", "--project", "lm"],
        ["create", "--project", "lm", "--scope", "root"],
        ["create", "--project", "", "--scope", "read"],
        ["create", "--project", "lm", "--scope", "read", "--expires", "soon"],
        ["rotate", "x", "--grace", "never"],
    ],
)
def test_what_makes_no_sense_ends_with_the_usage(argv, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        commands.keys(argv)
    assert "usage: gradwatch keys" in capsys.readouterr().err


def test_a_database_that_cannot_be_used_is_explained(capsys: pytest.CaptureFixture[str]):
    assert run("mysql://localhost/x", "list") == commands.FAILED
    assert "gradwatch: " in capsys.readouterr().err


def test_how_to_begin_is_a_command_that_works(
    database_url: str, capsys: pytest.CaptureFixture[str]
):
    command = key_commands.HOW_TO_BEGIN.splitlines()[-1].split()
    assert command[:2] == ["gradwatch", "keys"]
    assert run(database_url, *command[2:]) == commands.DONE
    assert key_id_of(capsys.readouterr().out.splitlines()[0])
