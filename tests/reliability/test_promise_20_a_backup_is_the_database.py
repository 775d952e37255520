"""A backup taken under load, restored: run by run, frame by frame, alert by alert, and the state
that follows from them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from gradwatch_service.domain import Frame
from gradwatch_service.store import packing
from gradwatch_service.store.database import make_engine
from gradwatch_service.store.schema import run_tables
from gradwatch_service.store.tables import frames, writers
from tests.databases import PostgresServer
from tests.reliability.counts import times
from tests.reliability.pushers import STEPS_PER_FRAME, progress, pushing
from tests.servers import Server, poll
from tests.service.ingest.rig import LAYERS, answer, frame_push, serving, verdict
from tests.service.ingest.training import REPORTS, exploding
from tests.streams import cut

RANKS = ("rank0", "rank1")
RUNS = times(1, 4)
ACKS = times(5, 40)
BACKUPS = times(1, 3)
PROGRAM = (
    "import sys; from gradwatch_service.commands import backup; sys.exit(backup(sys.argv[1:]))"
)


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """Without a worker, which would note that the quiet runs are silent."""
    quiet = {"GRADWATCH_EMBEDDED_WORKER": "false"}
    running = Server(database_url, tmp_path / "server.log", environment=quiet).start()
    yield running
    running.kill()


def back_up(server: Server, target: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "--database-url", server.database_url, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "is a copy of" in done.stdout


@pytest.fixture
def restore(
    backend: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Any]:
    """Restores as docs/backup.md says; returns an engine on the new database."""
    opened: list[Engine] = []
    if backend != "sqlite":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("PATH", str(postgres.programs), prepend=":")

    def restored(file: Path) -> Engine:
        number = len(opened)
        if backend == "sqlite":
            url = f"sqlite:///{shutil.copy(file, tmp_path / f'restored-{number}.db')}"
        else:
            url = postgres.create(f"restored_{number}")
            plain = sa.make_url(url).set(drivername="postgresql")
            address = plain.render_as_string(hide_password=False)
            command = ["pg_restore", "--no-owner", "--exit-on-error", "-d", address]
            subprocess.run([*command, str(file)], check=True, timeout=120)
        opened.append(make_engine(url))
        return opened[-1]

    yield restored
    for number, engine in enumerate(opened):
        engine.dispose()
        if backend != "sqlite":
            postgres.drop(f"restored_{number}")


def parts(rank: str) -> list[Frame]:
    whole = exploding(RANKS.index(rank))
    return list(cut(whole, range(8, REPORTS, 8)))


def exploded(http: httpx.Client) -> uuid.UUID:
    """A run of two ranks that has exploded, but for its last frames."""
    layers = [layer.as_json() for layer in LAYERS.layers]
    run = http.post("/runs", json={"project": "kept", "layers": layers}).json()["id"]
    for rank in RANKS:
        for seq, frame in enumerate(parts(rank)[:-1]):
            put = http.put(
                f"/runs/{run}/writers/{rank}/frames/{seq}",
                content=packing.pack(frame),
                headers={"content-type": "application/msgpack"},
            )
            assert put.status_code == 201
    assert http.get(f"/runs/{run}").json()["open_alerts"] > 0
    return uuid.UUID(run)


def rows(engine: Engine, table: sa.Table, run: uuid.UUID) -> list[tuple[Any, ...]]:
    query = sa.select(table).where(table.c.run_id == run).order_by(*table.primary_key.columns)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def check_moment(copy: Engine, original: Engine, run: uuid.UUID, least: int) -> None:
    """A run that went on meanwhile: up to one moment everything, and beyond it nothing."""
    kept, all_of_it = rows(copy, frames, run), rows(original, frames, run)
    assert set(kept) <= set(all_of_it)
    assert len(kept) >= least
    stored = {name: [] for name in {row[1] for row in kept}}
    for row in kept:
        stored[row[1]].append(row[2])
    for row in rows(copy, writers, run):
        columns = dict(zip(writers.columns.keys(), row, strict=True))
        assert stored[columns["writer"]] == list(range(columns["next_seq"]))
        assert columns["ordinal"] == columns["next_seq"] * STEPS_PER_FRAME


def last_frames(engine: Engine, run: uuid.UUID) -> dict[str, object]:
    """What is concluded when the job goes on: the state is folded anew from the log."""
    with serving(engine) as writer:
        for rank in RANKS:
            seq = len(parts(rank)) - 1
            assert answer(writer, frame_push(run, seq, parts(rank)[-1], rank)).status == "stored"
    return dict(verdict(engine, run))


def test_a_backup_under_load_restores_to_the_same_runs_frames_alerts_and_state(
    server: Server, http: httpx.Client, tmp_path: Path, engine: Engine, restore: Any
):
    quiet = [exploded(http) for _ in range(RUNS)]
    busy = http.post("/runs", json={"project": "busy"}).json()["id"]
    backups = [tmp_path / f"backup-{number}" for number in range(BACKUPS)]
    least = []
    with pushing([server.api], busy) as pushers:
        for file in backups:
            poll(progress(pushers, ACKS), "the clients are at work")
            least.append(sum(pusher.acknowledged for pusher in pushers))
            back_up(server, file)
        poll(progress(pushers, ACKS), "the clients go on")
    server.stop()
    for file, count in zip(backups, least, strict=True):
        copy = restore(file)
        check_moment(copy, engine, uuid.UUID(busy), count)
        for run in quiet:
            for table in run_tables():
                assert rows(copy, table, run) == rows(engine, table, run), table.name
            assert verdict(copy, run)["alerts"]
    for run in quiet:
        assert last_frames(copy, run) == last_frames(engine, run)
