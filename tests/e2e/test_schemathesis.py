"""The OpenAPI document and a real server, compared by everything that Schemathesis can check."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_keys import KEYED, new_key
from tests.receivers import Receiver
from tests.reliability.counts import times
from tests.servers import Server
from tests.tenants import CHANNEL, EXPLODING, SILENCE, bearer

PROJECT = "lm"
EXAMPLES = times(2, 200)
SEED = 7
ENDLESS = 1  # GET /events
PHASES = "examples,coverage,fuzzing,stateful"
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
PROGRAM = Path(sys.executable).with_name("schemathesis")
SETTINGS = {
    "GRADWATCH_REQUESTS_PER_SECOND": "1000000",  # thousands with one key are the point here
    "GRADWATCH_REQUESTS_BURST": "1000000",
    "GRADWATCH_OUTGOING_ALLOW": "127.0.0.1",  # to the receiver
}


@pytest.fixture
def backend() -> str:
    return "sqlite"


@pytest.fixture
def keyed(database_url: str, tmp_path: Path) -> Iterator[Server]:
    """A server that asks everybody for a key."""
    log = tmp_path / "server.log"
    running = Server(database_url, log, environment=KEYED | SETTINGS).start()
    yield running
    running.kill()


def belongings(http: httpx.Client, receiver: Receiver) -> dict[str, str]:
    """One of everything that a path can name, and spares to delete, as the configuration reads."""
    project = f"/projects/{PROJECT}"
    channel = CHANNEL | {"settings": {"url": receiver.url}}
    run_id = made(http, "/runs", {"project": PROJECT})["id"]
    assert http.post(f"/runs/{run_id}/steps", json=EXPLODING).is_success
    alerts = http.get("/alerts", params={"run": run_id}).json()["items"]
    return {
        "THE_PROJECT": PROJECT,
        "THE_RUN": run_id,
        "THE_ALERT": alerts[0]["id"],
        "THE_ADVICE": alerts[0]["advice"][0]["id"],
        "THE_CHANNEL": made(http, f"{project}/channels", channel)["id"],
        "THE_SILENCE": made(http, "/silences", SILENCE | {"project": PROJECT})["id"],
        "A_RUN": made(http, "/runs", {"project": PROJECT})["id"],
        "A_CHANNEL": made(http, f"{project}/channels", channel | {"name": "spare"})["id"],
        "A_KEY": made(http, f"{project}/keys", {"name": "spare", "scopes": ["read"]})["key_id"],
    }


def made(http: httpx.Client, path: str, body: object) -> dict[str, str]:
    answer = http.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@pytest.mark.timeout(1_200)
def test_the_service_keeps_what_its_document_says(
    keyed: Server, receiver: Receiver, tmp_path: Path
):
    pytest.importorskip("schemathesis")
    key = new_key(keyed, "admin")
    with httpx.Client(base_url=keyed.api, headers=bearer(key), trust_env=False) as http:
        names = belongings(http, receiver)
    command = [
        PROGRAM, "--config-file", CONFIGURATION, "run", f"{keyed.url}/openapi.json",
        "--checks", "all", "--phases", PHASES, "--max-examples", str(EXAMPLES),
        "--seed", str(SEED), "--no-color", "--generation-database", "none",
    ]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | names | {"THE_KEY": key},
    )
    said = done.stdout[-20_000:] + done.stderr[-3_000:]
    assert done.returncode == 0, said
    tested = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", done.stdout)
    assert tested, said
    selected, known, done_with = map(int, tested.groups())
    assert (selected, done_with) == (known - ENDLESS, known - ENDLESS), said
    still = httpx.get(f"{keyed.api}/session", headers=bearer(key), trust_env=False)
    assert still.status_code == 200, said  # nothing was tested with a key that opens nothing
    print(re.findall(r"\d+ generated, .*", done.stdout))
