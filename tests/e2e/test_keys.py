"""A service that asks for keys, as people meet it: the first key, a job with one, two workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.databases import POSTGRES
from tests.servers import Server, poll
from tests.tenants import bearer

pytestmark = pytest.mark.sqlite_in_brief

KEYED = {"GRADWATCH_REQUIRE_KEY": "true"}
TWO_WORKERS = (
    "import sys; from gradwatch_service.commands import serve; "
    "sys.exit(serve(['--workers', '2', *sys.argv[1:]]))"
)
JOB = """
import gradwatch
run = gradwatch.init(project="lm", name="job")
for step in range(20):
    run.log(step=step, loss=1.0 / (step + 1))
run.finish()
print(run.id)
"""


@contextmanager
def started(server: Server) -> Iterator[Server]:
    yield server.start()
    server.kill()


def keys(server: Server, *arguments: str) -> list[str]:
    program = (
        "import sys; from gradwatch_service.commands import keys; sys.exit(keys(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *arguments, "--database-url", server.database_url]
    return subprocess.check_output(command, text=True).splitlines()


def new_key(server: Server, scope: str) -> str:
    return keys(server, "create", "--project", "lm", "--scope", scope)[0]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_where_a_key_is_needed_the_start_says_how_to_make_the_first(
    database_url: str, tmp_path: Path
):
    server = Server(database_url, tmp_path / "server.log", environment=KEYED)
    with started(server):
        assert "gradwatch keys create --project NAME --scope admin" in server.log.read_text()
        text = new_key(server, "admin")
        answer = httpx.get(f"{server.api}/session", headers=bearer(text), trust_env=False)
        assert answer.json()["scopes"] == ["admin", "ingest", "read"]
    server.log.unlink()
    with started(server):
        assert "keys create" not in server.log.read_text()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_beyond_loopback_a_key_is_needed_unless_it_is_said_that_none_is(
    database_url: str, tmp_path: Path
):
    beyond = {"GRADWATCH_HOST": "0.0.0.0"}  # noqa: S104 - the point of this test
    for more, status in (({}, 401), ({"GRADWATCH_ALLOW_UNAUTHENTICATED": "true"}, 200)):
        server = Server(database_url, tmp_path / "server.log", environment=beyond | more)
        with started(server):
            assert httpx.get(f"{server.api}/runs", trust_env=False).status_code == status
    assert "Everybody who reaches this address may read and write" in server.log.read_text()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_job_reports_with_a_key_that_may_not_read(database_url: str, tmp_path: Path):
    server = Server(database_url, tmp_path / "server.log", environment=KEYED)
    with started(server):
        job_key, reader = new_key(server, "ingest"), bearer(new_key(server, "read"))
        environment = os.environ | {"GRADWATCH_URL": server.url, "GRADWATCH_API_KEY": job_key}
        command = [sys.executable, "-c", JOB]
        run_id = subprocess.check_output(command, text=True, env=environment).strip()
        url = f"{server.api}/runs/{run_id}"
        run = httpx.get(url, headers=reader, trust_env=False).json()
        assert (run["last_step"], run["state"]) == (19, "finished")
        assert httpx.get(url, headers=bearer(job_key), trust_env=False).status_code == 403


@pytest.mark.parametrize("backend", [POSTGRES])
def test_with_two_workers_a_revoked_key_is_out_of_both_in_five_seconds(
    database_url: str, tmp_path: Path
):
    server = Server(database_url, tmp_path / "server.log", environment=KEYED, program=TWO_WORKERS)
    with started(server):
        text = new_key(server, "read")

        def statuses() -> set[int]:
            """Each connection is taken by whichever worker is free."""
            found = set()
            for _ in range(20):
                answer = httpx.get(f"{server.api}/runs", headers=bearer(text), trust_env=False)
                found.add(answer.status_code)
            return found

        assert statuses() == {200}
        keys(server, "revoke", text.split("_")[1])
        poll(lambda: statuses() == {401}, "a revoked key opens nothing", deadline_seconds=5.0)
