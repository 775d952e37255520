from __future__ import annotations

import datetime as dt
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from importlib.metadata import EntryPoint, PackageNotFoundError
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch import cli, clock, retry, terminal
from gradwatch.commands import doctor, tail
from gradwatch.config import Config
from gradwatch.transport import client_version
from tests.client.orphans import orphan

RUN = "01935b2e-7a4c-7000-8000-000000000001"
API = "/api/v1"
NOW = 1_763_900_000.0
SETTINGS = Config(backoff_base_seconds=0.0)

RUN_ITEM = {
    "id": RUN,
    "project": "lm",
    "name": "small",
    "state": "running",
    "health": "critical",
    "last_step": 120,
    "open_alerts": 2,
    "last_seen_at": "2025-11-23T12:11:20Z",
}
ALERT = {
    "id": "a1",
    "run_id": RUN,
    "project": "lm",
    "rule": "gradient-growth",
    "severity": "error",
    "state": "firing",
    "cause": "learning-rate-too-high",
    "opened_step": 96,
    "layers": ["rnn.weight_hh", "rnn.weight_ih", "out.weight", "out.bias"],
    "title": "Gradients double every 8 steps",
    "advice": [{"title": "Lower the learning rate to 0.003"}],
    "updated_at": "2025-11-23T11:13:20Z",
}


class Routes:
    """Answers by method and path; the last answer of a list is given again and again."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.seen: list[tuple[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        key = f"{request.method} {request.url.path}"
        body = json.loads(request.content) if request.content else dict(request.url.params)
        self.seen.append((key, body))
        waiting = self.answers.get(key, [httpx.Response(404, json={"code": "not-found"})])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, json=answer)

    def bodies(self, key: str) -> list[Any]:
        return [body for seen, body in self.seen if seen == key]


Run = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``gradwatch …`` against routes; returns exit code, output and complaints."""
    monkeypatch.setattr(clock, "now", lambda: NOW)

    def run(line: str, answers: dict[str, list[Any]] | Routes, stdin: str = "") -> Any:
        routes = answers if isinstance(answers, Routes) else Routes(answers)
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = cli.main(line.split(), settings=SETTINGS, http=httpx.MockTransport(routes))
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


def page(*items: Any) -> dict[str, Any]:
    return {"items": list(items), "next_cursor": None}


def test_runs_are_listed_in_aligned_columns(command: Run) -> None:
    other = RUN_ITEM | {"name": "a longer name", "last_step": None, "last_seen_at": "soon"}
    routes = Routes({f"GET {API}/runs": [page(RUN_ITEM, other)]})
    code, out, _ = command("runs --project lm --limit 5", routes)
    assert code == 0
    assert out == [
        "RUN                                   PROJECT  NAME           STATE    HEALTH    STEP  "
        "ALERTS  SEEN",
        f"{RUN}  lm       small          running  critical  120   2       2 min ago",
        f"{RUN}  lm       a longer name  running  critical  -     2       -",
    ]
    assert routes.bodies(f"GET {API}/runs") == [{"project": "lm", "limit": "5"}]


def test_runs_as_json_are_one_object_a_line(command: Run) -> None:
    code, out, _ = command("runs --json", {f"GET {API}/runs": [page(RUN_ITEM, RUN_ITEM)]})
    assert code == 0
    assert [json.loads(line) for line in out] == [RUN_ITEM, RUN_ITEM]


@pytest.mark.parametrize("what", ["runs", "alerts"])
def test_nothing_to_list_is_said(command: Run, what: str) -> None:
    assert command(what, {f"GET {API}/{what}": [page()]}) == (0, [f"no {what}"], [])


def test_alerts_say_what_where_why_and_what_to_do(command: Run) -> None:
    routes = Routes({f"GET {API}/alerts": [page(ALERT, {"title": "bare"})]})
    code, out, _ = command(f"alerts --run {RUN} --severity error", routes)
    assert code == 0
    assert out == [
        "ERROR     firing  Gradients double every 8 steps",
        "    since step 96 in rnn.weight_hh, rnn.weight_ih, out.weight; "
        "cause: learning-rate-too-high; rule: gradient-growth",
        "    do: Lower the learning rate to 0.003",
        f"    run {RUN}, project lm, changed 1 h ago",
        "    alert a1",
        "-         -  bare",
        "    since step -; cause: -; rule: -",
        "    run -, project -, changed -",
        "    alert -",
    ]
    assert routes.bodies(f"GET {API}/alerts") == [{"run": RUN, "severity": "error", "limit": "20"}]


def test_alerts_as_json_are_one_object_a_line(command: Run) -> None:
    code, out, _ = command("alerts --json", {f"GET {API}/alerts": [page(ALERT)]})
    assert (code, [json.loads(line) for line in out]) == (0, [ALERT])


@pytest.mark.parametrize(
    ("act", "word", "state"),
    [("ack", "acknowledge", "acknowledged"), ("resolve", "resolve", "resolved")],
)
def test_an_alert_is_acknowledged_or_resolved_by_its_id(
    command: Run, monkeypatch: pytest.MonkeyPatch, act: str, word: str, state: str
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    done = ALERT | {"state": state, f"{state}_by": "ada", "comment": "mine"}
    routes = Routes({f"POST {API}/alerts/a1/{word}": [done]})
    code, out, _ = command(f"alerts {act} a1 -m mine", routes)
    assert (code, out[0]) == (0, f"ERROR     {state}  Gradients double every 8 steps")
    assert f"    {state} by ada: mine" in out
    assert routes.bodies(f"POST {API}/alerts/a1/{word}") == [{"by": "ada", "comment": "mine"}]


def test_an_act_that_makes_no_sense_is_explained(command: Run) -> None:
    refusal = {"code": "conflict", "detail": "the alert is resolved"}
    refused = httpx.Response(409, json=refusal)
    code, _, complaints = command("alerts ack a1", {f"POST {API}/alerts/a1/acknowledge": [refused]})
    assert (code, complaints) == (1, ["gradwatch: 409 conflict: the alert is resolved"])


def test_alerts_are_silenced_and_heard_again(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    made = {"id": "s1", "ends_at": "2025-11-23T14:13:20Z"}
    routes = Routes({f"POST {API}/silences": [made], f"DELETE {API}/silences/s1": [{}]})
    line = "alerts silence --project lm --cause plateau --run-name a --match tag!=x=y --for 2h"
    code, out, _ = command(f"{line} --match layer=~fc.*", routes)
    assert (code, out) == (
        0,
        [
            "nobody is told of such alerts until 2025-11-23T14:13:20Z",
            "to end it before: gradwatch alerts unsilence s1",
        ],
    )
    assert routes.bodies(f"POST {API}/silences") == [
        {
            "project": "lm",
            "matchers": [
                {"name": "cause", "op": "=", "value": "plateau"},
                {"name": "run_name", "op": "=", "value": "a"},
                {"name": "tag", "op": "!=", "value": "x=y"},
                {"name": "layer", "op": "=~", "value": "fc.*"},
            ],
            "duration": "2h",
            "comment": "",
            "by": "somebody",
        }
    ]
    assert command("alerts unsilence s1", routes) == (0, ["people are told again"], [])


@pytest.mark.parametrize("which", ["", "--match plateau"])
def test_a_silence_has_to_say_of_which_alerts(command: Run, which: str) -> None:
    code, _, complaints = command(f"alerts silence --for 2h {which}", {})
    assert (code, len(complaints)) == (1, 1)


def test_alerts_say_that_they_are_back_or_silenced(command: Run) -> None:
    back = ALERT | {"regressed": True, "silenced_by": ["s1"]}
    _, out, _ = command("alerts", {f"GET {API}/alerts": [page(back)]})
    assert out[0] == "ERROR     firing again  Gradients double every 8 steps"
    assert "    silenced: nobody is told" in out


def test_tail_follows_a_run_to_its_end(command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.0)

    def series(query: dict[str, str]) -> dict[str, Any]:
        steps = list(range(int(query["from"]), int(query["to"]) + 1))
        values = [0.5 * step if step < 13 else "NaN" for step in steps]
        found = query["metric"] == "loss"
        return {"steps": steps if found else [], "values": values if found else []}

    resolved = ALERT | {"state": "resolved"}
    states = [RUN_ITEM | {"last_step": 11}, RUN_ITEM | {"last_step": 11}]
    ended = RUN_ITEM | {"last_step": 13, "state": "failed"}
    routes = {
        f"GET {API}/runs/{RUN}": [*states, ended],
        f"GET {API}/alerts": [page(ALERT), page(ALERT), page(resolved)],
        f"GET {API}/runs/{RUN}/series": [series],
    }
    code, out, _ = command(f"tail {RUN} --lines 2", routes)
    assert code == 0
    steps = [line.split()[:4] for line in out if line.startswith("step")]
    assert steps == [["step", str(i), "loss", v] for i, v in
                     ((10, "5"), (11, "5.5"), (12, "6"), (13, "NaN"))]  # fmt: skip
    assert [line.split()[1] for line in out if line.startswith("ERROR")] == ["firing", "resolved"]
    assert out[-1] == "the run has failed"


def test_tail_as_json(command: Run) -> None:
    routes = {
        f"GET {API}/runs/{RUN}": [RUN_ITEM | {"last_step": 0, "state": "finished"}],
        f"GET {API}/alerts": [page(ALERT)],
        f"GET {API}/runs/{RUN}/series": [{"steps": [0], "values": [1.5]}],
    }
    code, out, _ = command(f"tail {RUN} --json", routes)
    assert code == 0
    assert [json.loads(line) for line in out] == [
        {"alert": ALERT},
        {"step": 0, "loss": 1.5, "grad_norm": 1.5, "lr": 1.5},
    ]


def test_tail_of_a_run_without_steps(command: Run) -> None:
    record = {"state": "finished", "last_step": None}
    routes = {f"GET {API}/runs/{RUN}": [record], f"GET {API}/alerts": [page()]}
    assert command(f"tail {RUN}", routes) == (0, ["the run has finished"], [])


def test_an_unknown_run_is_one_line(command: Run) -> None:
    refusal = httpx.Response(404, json={"code": "not-found", "detail": "there is no such run"})
    code, out, err = command(f"tail {RUN}", {f"GET {API}/runs/{RUN}": [refusal]})
    assert (code, out) == (1, [])
    assert err == ["gradwatch: 404 not-found: there is no such run"]


def receipt(body: dict[str, Any]) -> dict[str, Any]:
    (items,) = body.values()
    return {"accepted": len(items), "rejections": []}


def test_push_makes_a_run_fills_it_and_ends_it(command: Run) -> None:
    posted: list[str] = []

    def made(body: dict[str, Any]) -> httpx.Response:
        posted.append(body["id"])
        for what in ("steps", "events", "finish"):
            path = f"POST {API}/runs/{body['id']}/{what}"
            routes.answers[path] = [{"state": "finished"} if what == "finish" else receipt]
        return httpx.Response(201, json={"id": body["id"]})

    routes = Routes({f"POST {API}/runs": [made]})
    lines = (
        '{"step": 0, "loss": 1.5}\n\n{"step": 1, "loss": NaN}\n'
        '{"event": {"kind": "checkpoint"}}\n{"step": 2}\n'
    )
    code, out, err = command("push --project lm --name small --json", routes, lines)
    (run,) = posted
    assert (code, err) == (0, ["gradwatch: steps stored: 3, events stored: 1"])
    assert out[0] == run
    assert json.loads(out[1]) == {"run_id": run, "steps": 3, "events": 1}
    assert routes.seen[0][1] == {"id": run, "project": "lm", "name": "small"}
    assert routes.bodies(f"POST {API}/runs/{run}/steps") == [
        {"steps": [{"step": 0, "loss": 1.5}, {"step": 1, "loss": "NaN"}]},
        {"steps": [{"step": 2}]},
    ]
    assert routes.bodies(f"POST {API}/runs/{run}/events") == [{"events": [{"kind": "checkpoint"}]}]
    assert routes.bodies(f"POST {API}/runs/{run}/finish") == [{"state": "finished"}]


def test_push_into_a_run_leaves_it_open(command: Run) -> None:
    routes = Routes({f"POST {API}/runs/{RUN}/steps": [receipt]})
    code, out, _ = command(f"push --run {RUN}", routes, '{"step": 0}')
    assert (code, out) == (0, [RUN])
    assert [key for key, _ in routes.seen] == [f"POST {API}/runs/{RUN}/steps"]


def test_push_sends_many_lines_in_batches(command: Run) -> None:
    routes = Routes({f"POST {API}/runs/{RUN}/steps": [receipt]})
    lines = "".join(f'{{"step": {step}}}\n' for step in range(250))
    code, _, _ = command(f"push --run {RUN}", routes, lines)
    sent = [body["steps"] for body in routes.bodies(f"POST {API}/runs/{RUN}/steps")]
    assert code == 0
    assert [item["step"] for steps in sent for item in steps] == list(range(250))
    assert max(map(len, sent)) <= 100


def test_push_of_nothing_sends_nothing(command: Run) -> None:
    assert command(f"push --run {RUN}", {}, "") == (0, [RUN], ["gradwatch: steps stored: 0"])


def test_push_does_not_keep_lines_waiting_for_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = threading.Event()

    def job() -> Iterator[str]:
        yield '{"step": 0}\n'
        assert arrived.wait(30.0)
        yield '{"step": 1}\n'

    def receive(body: dict[str, Any]) -> Any:
        arrived.set()
        return receipt(body)

    routes = Routes({f"POST {API}/runs/{RUN}/steps": [receive]})
    monkeypatch.setattr("sys.stdin", job())
    http = httpx.MockTransport(routes)
    assert cli.main(["push", "--run", RUN], settings=SETTINGS, http=http) == 0
    assert len(routes.seen) == 2
    assert capsys.readouterr().out == f"{RUN}\n"


def test_push_names_the_lines_it_cannot_use(command: Run) -> None:
    rejections = [{"index": 1, "detail": "loss is not a number"}]
    answer = {"accepted": 1, "rejections": rejections}
    routes = Routes({f"POST {API}/runs/{RUN}/steps": [answer]})
    lines = '[1]\n{"step": 0}\nloss=3\n{"step": 1, "loss": "x"}\n'
    code, _, err = command(f"push --run {RUN}", routes, lines)
    assert code == 1
    assert err == [
        'gradwatch: line 1: no JSON object; write {"step": 0, "loss": 1.5}',
        'gradwatch: line 3: no JSON object; write {"step": 0, "loss": 1.5}',
        "gradwatch: line 4: loss is not a number",
        "gradwatch: steps stored: 1, lines refused: 3",
    ]


def test_push_finds_the_line_for_which_a_request_is_refused(command: Run) -> None:
    def picky(body: dict[str, Any]) -> Any:
        if any(item["step"] == 2 for item in body["steps"]):
            return httpx.Response(422, json={"code": "invalid", "detail": "out of range"})
        return receipt(body)

    routes = Routes({f"POST {API}/runs/{RUN}/steps": [picky]})
    lines = "".join(f'{{"step": {step}}}\n' for step in range(5))
    code, out, err = command(f"push --run {RUN} --json", routes, lines)
    assert code == 1
    assert err == [
        "gradwatch: line 3: 422 invalid: out of range",
        "gradwatch: steps stored: 4, lines refused: 1",
    ]
    assert json.loads(out[1])["steps"] == 4


def test_push_waits_for_a_service_that_is_away(command: Run) -> None:
    away = [httpx.ConnectError("refused"), httpx.Response(503), receipt]
    routes = Routes({f"POST {API}/runs/{RUN}/steps": away})
    assert command(f"push --run {RUN}", routes, '{"step": 0}')[0] == 0
    assert len(routes.seen) == 3


def test_push_gives_up_in_the_end(command: Run) -> None:
    routes = Routes({f"POST {API}/runs/{RUN}/steps": [httpx.ConnectError("refused")]})
    code, _, err = command(f"push --run {RUN}", routes, '{"step": 0}')
    assert code == 1
    assert err == [
        "gradwatch: no answer from the service (refused); `gradwatch doctor` says what to do"
    ]
    assert len(routes.seen) == retry.TRIES


def test_push_into_an_unknown_run_ends_at_once(command: Run) -> None:
    code, _, err = command(f"push --run {RUN}", {}, '{"step": 0}')
    assert code == 1
    assert err == ["gradwatch: 404 not-found: the server gave no detail"]


def well(date: float = NOW, **health: Any) -> dict[str, list[Any]]:
    moment = format_datetime(dt.datetime.fromtimestamp(date, dt.UTC), usegmt=True)
    body = {"status": "ok"} | health
    return {
        "GET /healthz": [httpx.Response(200, json=body, headers={"date": moment})],
        "GET /readyz": [{"status": "ok", "checks": {}}],
        "GET /openapi.json": [{"info": {"version": client_version()}}],
        f"GET {API}/runs": [page()],
    }


def checks(out: list[str]) -> dict[str, str]:
    """Status and text by name, without the packages."""
    return {line[6:17].strip(): line[:6].strip() + ": " + line[17:].strip() for line in out}


def test_doctor_finds_everything_well(command: Run) -> None:
    code, out, _ = command("doctor", well())
    assert code == 0
    assert out[0] == "ok    address    http://127.0.0.1:8321"
    found = checks(out)
    assert found["ready"] == "ok: database and writer work"
    assert found["version"] == f"ok: {client_version()}, the same on both sides"
    assert found["key"] == "ok: none is needed"
    assert found["clock"] == "ok: agrees with the service"
    assert {line.split()[2] for line in out if " package " in line} == {
        "httpx", "msgpack", "numpy", "torch", "fastapi",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name", "status", "text"),
    [
        (
            {"GET /healthz": [httpx.ConnectError("refused")]},
            "health",
            "fail",
            "no answer (refused): start it with `gradwatch serve`, or set GRADWATCH_URL",
        ),
        (
            {"GET /healthz": [httpx.Response(200, html="<p>")]},
            "health",
            "fail",
            "something else answers (200): point GRADWATCH_URL at the service",
        ),
        (
            {"GET /readyz": [httpx.Response(503, json={"checks": {"database": "gone"}})]},
            "ready",
            "fail",
            "not ready (database: gone): see the service's log",
        ),
        (
            {"GET /openapi.json": [{"info": {"version": "9.9"}}]},
            "version",
            "warn",
            f"client {client_version()}, service 9.9: update the older",
        ),
        (
            {f"GET {API}/runs": [httpx.Response(401)]},
            "key",
            "fail",
            "one is needed: set GRADWATCH_API_KEY",
        ),
        (
            {f"GET {API}/runs": [httpx.Response(403)]},
            "key",
            "warn",
            "the key may report, but not read",
        ),
        (
            {f"GET {API}/runs": [httpx.Response(500, json={"detail": "oh"})]},
            "key",
            "fail",
            "reading runs failed with 500: oh",
        ),
        (well(NOW - 7300), "clock", "warn", "2 h ahead of the service: set it by NTP"),
        (well(NOW + 90), "clock", "warn", "1 min behind the service: set it by NTP"),
        (
            {"GET /healthz": [{"status": "ok"}]},
            "clock",
            "warn",
            "the service did not say what time it has",
        ),
    ],
)
def test_doctor_says_what_is_wrong_and_what_to_do(
    command: Run, change: dict[str, Any], name: str, status: str, text: str
) -> None:
    code, out, _ = command("doctor", well() | change)
    assert code == (1 if status == "fail" else 0)
    assert checks(out)[name] == f"{status}: {text}"


def test_doctor_as_json(command: Run) -> None:
    code, out, _ = command("doctor --json", well())
    assert code == 0
    assert json.loads(out[0]) == {
        "status": "ok", "name": "address", "text": "http://127.0.0.1:8321",
    }  # fmt: skip


def test_doctor_notices_what_is_not_installed(
    command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", nothing)
    code, out, _ = command("doctor", well())
    assert code == 1
    assert "fail  package    numpy missing: pip install gradwatch" in out
    assert "ok    package    torch not here, only run.watch() needs it" in out


@pytest.mark.parametrize(
    ("mode", "said"),
    [("offline", "reports go to disk, until you run `gradwatch sync`"), ("disabled", "nothing")],
)
def test_doctor_notices_a_mode_in_which_jobs_send_nothing(
    capsys: pytest.CaptureFixture[str], mode: Any, said: str
) -> None:
    http = httpx.MockTransport(Routes(well()))
    cli.main(["doctor"], settings=Config(mode=mode), http=http)
    line = capsys.readouterr().out.splitlines()[1]
    assert line.startswith("warn  mode")
    assert said in line


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (999, "999 bytes"), (34_700_000, "34.7 MB"), (5_123_000_000, "5.12 GB")],
)
def test_sizes_are_said_in_the_unit_that_suits_them(count: int, said: str) -> None:
    assert terminal.size(count) == said


def test_doctor_says_what_waits_on_disk(capsys: pytest.CaptureFixture[str], spool: Path) -> None:
    orphan(frames=3)
    cli.main(["doctor"], settings=Config(), http=httpx.MockTransport(Routes(well())))
    line = capsys.readouterr().out.splitlines()[2]
    waits = rf"3 reports \([0-9]+ bytes\) wait in {spool}: `gradwatch sync` sends them"
    assert re.fullmatch(rf"warn  spool      {waits}", line)


def test_doctor_notices_that_nothing_can_be_written(
    capsys: pytest.CaptureFixture[str], spool: Path
) -> None:
    spool.touch()
    cli.main(["doctor"], settings=Config(), http=httpx.MockTransport(Routes(well())))
    line = capsys.readouterr().out.splitlines()[2]
    assert line.startswith(
        f"warn  spool      {spool} cannot be written; an outage may lose reports"
    )


def test_an_unusable_setting_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADWATCH_URL", "nowhere")
    assert cli.main(["runs"]) == 1
    assert capsys.readouterr().err == (
        "gradwatch: GRADWATCH_URL is not an address such as http://127.0.0.1:8321\n"
    )


def greet(argv: list[str]) -> int:
    """Say hello, 100 % politely.

    And more.
    """
    terminal.write(f"hello {argv}")
    return 5


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("greet", f"{__name__}:greet", cli.GROUP),
        EntryPoint("serve", "no_such_module:serve", cli.GROUP),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda **_: points)


@pytest.mark.usefixtures("elsewhere")
def test_commands_of_the_service_get_their_own_arguments(command: Run) -> None:
    assert command("greet --loud you", {}) == (5, ["hello ['--loud', 'you']"], [])


@pytest.mark.usefixtures("elsewhere")
def test_a_command_of_a_service_that_is_not_installed_says_how_to_get_it(command: Run) -> None:
    assert command("serve --port 1", {}) == (
        2,
        [],
        ["gradwatch: `gradwatch serve` needs the service: pip install 'gradwatch[service]'"],
    )


@pytest.mark.usefixtures("elsewhere")
def test_help_lists_every_command(command: Run) -> None:
    code, out, _ = command("", {})
    text = " ".join(" ".join(out).split())
    assert code == 2
    for line in (
        "alerts List alerts, the newest first; acknowledge, resolve or silence them.",
        "tail Follow a run until it ends.",
        "greet Say hello, 100 % politely.",
        "serve needs the service: pip install 'gradwatch[service]'",
    ):
        assert line in text


def test_an_interrupt_ends_quietly(command: Run) -> None:
    def interrupt(_: Any) -> Any:
        raise KeyboardInterrupt

    assert command("runs", {f"GET {API}/runs": [interrupt]}) == (130, [], [])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (90_000, "1 d")],
)
def test_durations_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert terminal.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123456, "0.1235"), (1e-9, "1e-09"), ("NaN", "NaN"), (None, "-"), (7, "7")],
)
def test_numbers_are_told_in_four_digits(value: object, text: str) -> None:
    assert terminal.number(value) == text


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    program = "import sys\nfrom gradwatch.cli import main\nsys.stdin.read()\nsys.exit(main(['-h']))"
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.close()
    child.stdout = None
    _, complaints = child.communicate(b"", timeout=60)
    assert (child.returncode, complaints) == (0, b"")
