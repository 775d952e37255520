"""What a person with nothing but curl can do, on a real server and each real database."""

import json
import shutil
import subprocess

import pytest

from tests.servers import Server

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")

STEP = """{"steps": [
  {"step": %s, "loss": %s, "grad_norm": %s, "layers": {"fc1": {"grad_norm": %s}}}
]}"""


def curl(*arguments: str) -> object:
    command = ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*"]
    done = subprocess.run([*command, *arguments], capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)


def send(url: str, body: str) -> object:
    return curl(url, "-H", "Content-Type: application/json", "-d", body)


def test_a_run_is_created_steps_are_pushed_and_the_alert_is_read_back(server: Server):
    run = send(f"{server.api}/runs", '{"project": "curl", "name": "by hand"}')
    push = f"{server.api}/runs/{run['id']}/steps"
    for step in range(3):
        body = STEP % (step, "2.0", "1.5", "1.5")
        assert send(push, body)["accepted"] == 1
    receipt = send(push, STEP % (3, '"NaN"', '"NaN"', '"NaN"'))
    assert receipt["health"] == "critical"

    alerts = curl(f"{server.api}/alerts?run={run['id']}&rule=non-finite")["items"]
    assert [(alert["state"], alert["opened_step"]) for alert in alerts] == [("firing", 3)]
    assert alerts[0]["explanation"]
    shown = curl(f"{server.api}/alerts/{alerts[0]['id']}")
    assert [past["kind"] for past in shown.pop("history")] == ["firing"]
    assert shown == alerts[0]
    assert curl(f"{server.api}/runs/{run['id']}/advice")["items"]
    series = curl(f"{server.api}/runs/{run['id']}/series?metric=loss")
    assert (series["steps"], series["values"]) == ([0, 1, 2, 3], [2.0, 2.0, 2.0, "NaN"])
    ended = send(f"{server.api}/runs/{run['id']}/finish", '{"state": "failed"}')
    assert ended["state"] == "failed"
