import socket
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from gradwatch_service import commands


@pytest.mark.parametrize(("flags", "count"), [(["--workers", "2"], 2), ([], 3)])
def test_several_workers_on_sqlite_are_refused(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    count: int,
):
    monkeypatch.setenv("GRADWATCH_WORKERS", "3")
    url = ["--database-url", "sqlite:///unused.db"]
    assert commands.serve([*flags, *url, "--port", "0"]) == commands.REFUSED
    told = capsys.readouterr().err
    assert f"refusing to run {count} workers on SQLite" in told
    assert "PostgreSQL" in told


def test_a_busy_port_is_said_at_once(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        url = f"sqlite:///{tmp_path}/unused.db"
        assert commands.serve(["--port", str(port), "--database-url", url]) == commands.FAILED
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert not (tmp_path / "unused.db").exists()


def test_an_unknown_flag_ends_with_the_usage(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        commands.serve(["--prot", "1"])
    assert "usage: gradwatch serve" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["nonsense", "mysql://localhost/x", "sqlite:////no/such/dir/x.db"])
@pytest.mark.parametrize("command", [commands.serve, commands.migrate, commands.worker])
def test_an_address_of_no_usable_database_is_explained(
    capsys: pytest.CaptureFixture[str], command, url
):
    port = ["--port", "0"] if command is commands.serve else []
    assert command(["--database-url", url, *port]) == commands.FAILED
    assert "gradwatch: " in capsys.readouterr().err


def test_migrate_brings_the_schema(empty_database_url: str, capsys: pytest.CaptureFixture[str]):
    for _ in range(2):
        assert commands.migrate(["--database-url", empty_database_url]) == commands.DONE
    assert "has the newest schema" in capsys.readouterr().out
    engine = sa.create_engine(empty_database_url)
    assert {"runs", "frames", "alerts"} <= set(sa.inspect(engine).get_table_names())
    engine.dispose()


def test_a_password_is_never_shown(capsys: pytest.CaptureFixture[str]):
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/none?connect_timeout=1"
    assert commands.migrate(["--database-url", url]) == commands.FAILED
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err


def test_the_demo_is_handed_its_arguments(monkeypatch: pytest.MonkeyPatch):
    stand_in = ModuleType("gradwatch_service.demo")
    stand_in.main = len
    monkeypatch.setitem(sys.modules, "gradwatch_service.demo", stand_in)
    assert commands.demo(["a", "b"]) == 2
