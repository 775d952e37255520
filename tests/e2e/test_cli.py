"""The command line on a live server: push, runs, alerts, tail and doctor, as a person sees them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch.transport import client_version
from tests.servers import Server, free_port, poll

PROGRAM = "import sys; from gradwatch.cli import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", PROGRAM]
NORMAL = [
    {"step": step, "loss": 2.0, "grad_norm": 1.0, "layers": {"fc1": {"grad_norm": 1.0}}}
    for step in range(12)
]
# Bare tokens, as Python's json writes them.
BROKEN = {"step": 12, "loss": float("nan"), "layers": {"fc1": {"grad_norm": float("inf")}}}


@pytest.fixture
def backend() -> str:
    return "sqlite"


def environment(url: str, **more: str) -> Mapping[str, str]:
    return {**os.environ, "GRADWATCH_URL": url, "GRADWATCH_MODE": "", **more}


def gradwatch(
    url: str, *arguments: str, stdin: str = "", status: int = 0, **more: str
) -> tuple[list[str], list[str]]:
    """The lines a command writes to standard output and to standard error."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        env=environment(url, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()


def lines(items: Sequence[object]) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def push(server: Server, items: Sequence[object], *arguments: str) -> str:
    """Push items as a run; returns its id."""
    out, err = gradwatch(server.url, "push", *arguments, stdin=lines(items))
    assert re.fullmatch(r"gradwatch: steps stored: \d+(, there already: \d+)?", *err)
    (run,) = out
    return run


def test_what_is_pushed_with_a_nan_is_listed_with_its_alert(server: Server, http: httpx.Client):
    run = push(server, [*NORMAL, BROKEN], "--project", "lm", "--name", "small")
    out, _ = gradwatch(server.url, "runs")
    assert len(out) == 2
    assert out[0].split() == ["RUN", "PROJECT", "NAME", "STATE", "HEALTH", "STEP", "ALERTS", "SEEN"]
    assert re.fullmatch(rf"{run}  lm +small  finished  critical  12 +0 +\d+ s ago", out[1]), out[1]

    out, _ = gradwatch(server.url, "alerts", "--run", run)
    (alert,) = http.get("/alerts", params={"run": run}).json()["items"]
    assert out[0] == f"{alert['severity'].upper():<8}  resolved  {alert['title']}"
    assert out[1] == f"    since step 12 in fc1; cause: {alert['cause']}; rule: non-finite"
    assert out[2] == f"    do: {alert['advice'][0]['title']}"
    assert out[3] == "    resolved by the end of the run: the run has ended"
    assert re.fullmatch(rf"    run {run}, project lm, changed \d+ s ago", out[4])
    assert out[5:] == [f"    alert {alert['id']}"]


def test_an_alert_is_acknowledged_resolved_and_silenced(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "lm"}).json()["id"]
    http.post(f"/runs/{run}/steps", json={"steps": [{"step": 0, "loss": "NaN"}]})
    (alert,) = http.get("/alerts", params={"state": "firing"}).json()["items"]
    silence = ("--project", "lm", "--cause", alert["cause"], "--for", "2h")
    out, _ = gradwatch(server.url, "alerts", "silence", *silence)
    (muted,) = http.get("/alerts").json()["items"][:1]
    assert muted["silenced_by"] == [out[1].split()[-1]]
    gradwatch(server.url, "alerts", "unsilence", *muted["silenced_by"])
    for act, state in (("ack", "acknowledged"), ("resolve", "resolved")):
        out, _ = gradwatch(server.url, "alerts", act, alert["id"], "-m", "on it")
        assert out[0] == f"{alert['severity'].upper():<8}  {state}  {alert['title']}"
        shown = http.get(f"/alerts/{alert['id']}").json()
        assert (shown["state"], shown["comment"], shown["silenced_by"]) == (state, "on it", [])


def test_lists_are_filtered_and_as_json_are_what_the_api_says(server: Server, http: httpx.Client):
    ill = push(server, [*NORMAL, BROKEN], "--project", "lm")
    well = push(server, NORMAL, "--project", "vision")
    wanted = {
        ("runs", "--health", "critical"): [ill],
        ("runs", "--project", "vision"): [well],
        ("runs", "--limit", "1"): [well],
        ("runs", "--state", "failed"): [],
    }
    for arguments, ids in wanted.items():
        out, _ = gradwatch(server.url, *arguments, "--json")
        assert [json.loads(line)["id"] for line in out] == ids
    out, _ = gradwatch(server.url, "alerts", "--project", "lm", "--json")
    assert [json.loads(line) for line in out] == http.get("/alerts").json()["items"]
    assert gradwatch(server.url, "alerts", "--project", "vision") == (["no alerts"], [])
    assert gradwatch(server.url, "runs", "--state", "stale") == (["no runs"], [])


def test_lines_that_cannot_be_stored_are_named_and_the_rest_is(server: Server, http: httpx.Client):
    stdin = "\n".join(
        [
            json.dumps(NORMAL[0]),
            "not JSON",
            '{"loss": 1.0}',
            "",
            '{"step": 1, "loss": 1.5}',
            '{"event": {"kind": "checkpoint", "step": 1, "path": "model.pt"}}',
            '{"event": {}}',
            '{"step": 2, "loss": "NaN"}',
        ]
    )
    out, err = gradwatch(server.url, "push", "--json", stdin=stdin, status=1)
    run, totals = out[0], json.loads(out[1])
    assert totals == {"run_id": run, "steps": 3, "events": 1, "rejected": 3}
    assert err.pop() == "gradwatch: steps stored: 3, events stored: 1, lines refused: 3"
    assert [line.partition(":")[2].split(":")[0].strip() for line in err] == [
        "line 2", "line 3", "line 7",
    ]  # fmt: skip
    losses = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert (losses["steps"], losses["values"]) == ([0, 1, 2], [2.0, 1.5, "NaN"])
    assert http.get(f"/runs/{run}").json()["state"] == "finished"


def test_a_file_pushed_twice_is_stored_once(server: Server, http: httpx.Client):
    run = push(server, NORMAL)
    for _ in range(2):
        assert push(server, [*NORMAL, BROKEN], "--run", run) == run
    losses = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert losses["steps"] == list(range(13))
    out, _ = gradwatch(server.url, "push", "--run", run, "--json", stdin=lines(NORMAL))
    assert json.loads(out[1]) == {"run_id": run, "steps": 0, "duplicates": 12}


def test_a_push_outlives_a_restart_of_the_service(server: Server, http: httpx.Client):
    pushing = subprocess.Popen(
        [*COMMAND, "push", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(server.url),
    )
    assert pushing.stdin is not None
    assert pushing.stdout is not None
    run = pushing.stdout.readline().strip()
    pushing.stdin.write(lines(NORMAL[:6]))
    pushing.stdin.flush()
    poll(lambda: http.get(f"/runs/{run}").json()["last_step"] == 5, "the first steps are stored")
    server.stop()
    pushing.stdin.write(lines([*NORMAL[6:], BROKEN]))
    pushing.stdin.flush()
    server.start()
    out, err = pushing.communicate(timeout=60)
    assert (pushing.returncode, json.loads(out)["steps"]) == (0, 13), err
    losses = http.get(f"/runs/{run}/series", params={"metric": "loss"}).json()
    assert losses["steps"] == list(range(13))


def test_tail_follows_a_living_run_to_its_end(server: Server, http: httpx.Client):
    run = http.post("/runs", json={"project": "lm"}).json()["id"]

    def send(steps: Sequence[Mapping[str, Any]]) -> None:
        body = json.dumps({"steps": steps})
        headers = {"content-type": "application/json"}
        assert http.post(f"/runs/{run}/steps", content=body, headers=headers).status_code == 201

    send(NORMAL)
    seen = server.log.with_name("tail.txt")
    with seen.open("w") as out:
        tail = subprocess.Popen(
            [*COMMAND, "tail", run, "--lines", "2"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(server.url),
        )
    poll(lambda: "step 11" in seen.read_text(), "the last of the first steps is shown")
    send([BROKEN])
    poll(lambda: "step 12" in seen.read_text(), "the new step is shown")
    assert tail.poll() is None
    http.post(f"/runs/{run}/finish", json={"state": "failed"})
    _, complaints = tail.communicate(timeout=60)
    assert (tail.returncode, complaints) == (0, "")
    shown = seen.read_text().splitlines()
    steps = [line for line in shown if line.startswith("step ")]
    assert steps == [
        "step 10        loss 2           grad_norm 1           lr -",
        "step 11        loss 2           grad_norm 1           lr -",
        "step 12        loss NaN         grad_norm -           lr -",
    ]
    assert [line for line in shown if "since step 12 in fc1;" in line]
    assert shown[-1] == "the run has failed"


def test_tail_of_an_ended_run_as_json(server: Server):
    run = push(server, [*NORMAL, BROKEN])
    out, _ = gradwatch(server.url, "tail", run, "--lines", "1", "--json")
    alert, step = map(json.loads, out)
    assert alert["alert"]["run_id"] == run
    assert step == {"step": 12, "loss": "NaN"}


def test_doctor_finds_a_live_server_well(server: Server, spool: Path):
    out, err = gradwatch(server.url, "doctor")
    assert err == []
    said = [line.split(maxsplit=2) for line in out]
    assert {status for status, _, _ in said} == {"ok"}
    assert [(name, text) for _, name, text in said if name != "package"] == [
        ("address", server.url),
        ("mode", "online"),
        ("spool", f"nothing is left in {spool}"),
        ("health", "the service answers"),
        ("ready", "database and writer work"),
        ("version", f"{client_version()}, the same on both sides"),
        ("key", "none is needed"),
        ("clock", "agrees with the service"),
    ]
    for line in out:
        assert re.match(r"ok    \w+ +\S", line)


def test_doctor_says_what_to_do_when_nobody_answers():
    url = f"http://127.0.0.1:{free_port()}"
    out, _ = gradwatch(url, "doctor", "--json", status=1)
    checks = [json.loads(line) for line in out]
    (failed,) = [check for check in checks if check["status"] == "fail"]
    assert failed["name"] == "health"
    assert failed["text"].endswith("start it with `gradwatch serve`, or set GRADWATCH_URL")


def test_a_command_without_a_server_fails_in_one_line():
    url = f"http://127.0.0.1:{free_port()}"
    out, err = gradwatch(url, "runs", status=1)
    assert out == []
    (line,) = err
    assert line.startswith("gradwatch: no answer from the service (")
    assert line.endswith("`gradwatch doctor` says what to do")


def test_a_question_the_server_refuses_fails_in_one_line(server: Server):
    unknown = "0193a000-0000-7000-8000-000000000000"
    for arguments in (["tail", unknown], ["push", "--run", unknown]):
        _, err = gradwatch(server.url, *arguments, stdin=lines(NORMAL), status=1)
        (line,) = err
        assert line.startswith("gradwatch: 404 not-found: ")


def test_an_unsafe_address_fails_in_one_line():
    _, err = gradwatch("http://gradwatch.invalid", "runs", status=1, GRADWATCH_ALLOW_HTTP="")
    (line,) = err
    assert "would send data unencrypted to gradwatch.invalid" in line


def test_a_reader_that_has_seen_enough_is_no_error(server: Server):
    push(server, NORMAL)
    listing = subprocess.Popen(
        [*COMMAND, "runs", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(server.url),
    )
    assert listing.stdout is not None
    listing.stdout.close()
    assert listing.stderr is not None
    with listing.stderr:
        assert listing.stderr.read() == b""
    assert listing.wait(60) == 0
