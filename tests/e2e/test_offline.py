"""A job on a machine that reaches nobody, and `gradwatch sync` on one that does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from gradwatch.spool import folder
from tests.e2e.exploded import assert_seen
from tests.servers import Server, free_port

BREAKS, STEPS = 100, 130
JOB = f"""
import random, gradwatch
chance = random.Random(1)
run = gradwatch.init("offline", name="rnn", layers=["embed", "rnn", "head"])
for step in range({STEPS}):
    norms = {{name: chance.lognormvariate(0.0, 0.1) for name in ("embed", "rnn", "head")}}
    norms["rnn"] *= 2.0 ** max(0, step - {BREAKS} + 1)
    total = sum(norm * norm for norm in norms.values()) ** 0.5
    layers = {{name: {{"grad_norm": norm}} for name, norm in norms.items()}}
    run.log(step, loss=2.0 - step / 1000, grad_norm=total, layers=layers)
print(run.id)
"""
COMMAND = "import sys; from gradwatch.cli import main; sys.exit(main())"


def execute(url: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        env={**os.environ, "GRADWATCH_URL": url, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_what_happened_offline_is_judged_once_it_is_sent(standing_server: Server, spool: Path):
    job = execute(f"http://127.0.0.1:{free_port()}", JOB, GRADWATCH_MODE="offline")
    run = job.stdout.strip()
    assert f"{STEPS} records and the end of run {run} are not delivered" in job.stderr
    assert "`gradwatch sync` sends them" in job.stderr
    assert len(folder.files(spool)) == 1

    copied = spool.rename(spool.with_name("carried-over"))
    sent = execute(standing_server.url, COMMAND, "sync", str(copied))
    assert f"run {run} (rnn): {STEPS} reports" in sent.stdout
    assert f"{STEPS} stored" in sent.stdout
    assert folder.files(copied) == []

    found = httpx.get(f"{standing_server.api}/runs/{run}", trust_env=False).json()
    assert (found["name"], found["state"], found["last_step"]) == ("rnn", "finished", STEPS - 1)
    assert_seen(standing_server.api, run, "rnn", BREAKS)


def test_a_second_sync_of_the_same_copy_stores_nothing_twice(standing_server: Server, spool: Path):
    run = execute(standing_server.url, JOB, GRADWATCH_MODE="offline").stdout.strip()
    (path,) = folder.files(spool)
    backup = path.read_bytes()
    execute(standing_server.url, COMMAND, "sync")
    path.parent.mkdir(parents=True)
    path.write_bytes(backup)
    execute(standing_server.url, COMMAND, "sync", run)
    asked = {"metric": "loss", "points": 10_000}
    series = httpx.get(f"{standing_server.api}/runs/{run}/series", params=asked, trust_env=False)
    assert series.json()["steps"] == list(range(STEPS))
    attempts = httpx.get(f"{standing_server.api}/runs/{run}", trust_env=False).json()["attempts"]
    assert len(attempts) == 1
