"""``GET /events`` of real servers: whoever pushes, whatever process is asked, everybody hears."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gradwatch_service.store.database import make_engine
from tests.databases import POSTGRES
from tests.e2e.test_keys import KEYED, started
from tests.event_stream import Heard, hearing
from tests.servers import Server, poll, two_servers
from tests.tenants import BROWSER, EXPLODING, A, B, Keyring, bearer

IMPATIENT = {"GRADWATCH_ANSWER_DEADLINE_SECONDS": "1", "GRADWATCH_LIVE_STREAMS_MAX": "2"}


def new_run(http: httpx.Client, project: str = "lm", **headers: str) -> str:
    answer = http.post("/runs", json={"project": project}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def push(http: httpx.Client, run: str, step: int, **headers: str) -> None:
    steps = [{"step": step, "loss": 1.0}]
    answer = http.post(f"/runs/{run}/steps", json={"steps": steps}, headers=headers)
    assert answer.status_code == 201, answer.text


def steps_of(heard: Heard, run: str) -> list[int | None]:
    return [one["last_step"] for one in heard.of("run") if one["id"] == run]


@pytest.mark.sqlite_in_brief
def test_what_a_push_changes_is_heard_as_the_lists_show_it(server: Server, http: httpx.Client):
    with hearing(server.api) as heard:
        heard.wait_for_start()
        run = new_run(http)
        assert http.post(f"/runs/{run}/steps", json=EXPLODING).status_code == 201
        poll(lambda: bool(heard.of("alert")), "the alert is heard")
        poll(lambda: heard.of("run")[-1]["open_alerts"] == 1, "the run with its alert is heard")
        assert heard.of("alert")[-1] == http.get("/alerts").json()["items"][0]
        assert heard.of("run")[-1] == http.get(f"/runs/{run}").json()
        ids = [int(one.id or 0) for one in heard.events]
        assert ids == sorted(ids)


@pytest.mark.sqlite_in_brief
def test_what_people_do_about_an_alert_is_heard(server: Server, http: httpx.Client):
    run = new_run(http)
    assert http.post(f"/runs/{run}/steps", json=EXPLODING).status_code == 201
    alert = http.get("/alerts").json()["items"][0]["id"]

    def hears(act: str, key: str, value: Any) -> None:
        poll(lambda: bool(heard.of("alert")) and heard.of("alert")[-1][key] == value, act)

    with hearing(server.api, {"run": run}) as heard:
        heard.wait_for_start()
        matchers = [{"name": "run", "value": run}]
        silence = {"project": "lm", "matchers": matchers, "duration": "1h", "comment": ""}
        made = http.post("/silences", json=silence).json()["id"]
        hears("it is silenced", "silenced_by", [made])
        assert http.delete(f"/silences/{made}").status_code == 204
        hears("it is no longer", "silenced_by", [])
        for act, state in (("acknowledge", "acknowledged"), ("resolve", "resolved")):
            assert http.post(f"/alerts/{alert}/{act}", json={}).status_code == 200
            hears(act, "state", state)
        assert http.post(f"/runs/{run}/finish", json={"state": "finished"}).status_code == 200
        poll(lambda: heard.of("run")[-1]["state"] == "finished", "the end of the run is heard")
        assert http.delete(f"/runs/{run}").status_code == 204
        poll(lambda: bool(heard.of("reset")), "that it is gone is heard")


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.sqlite_in_brief
def test_a_run_that_begins_and_ends_between_two_looks_is_heard(server: Server, http: httpx.Client):
    with hearing(server.api) as heard:
        heard.wait_for_start()
        run = new_run(http)
        assert http.post(f"/runs/{run}/finish", json={"state": "finished"}).status_code == 200
        poll(lambda: "finished" in [one["state"] for one in heard.of("run")], "it is heard")


@pytest.mark.sqlite_in_brief
def test_who_comes_back_hears_what_was_missed(server: Server, http: httpx.Client):
    run, other = new_run(http), new_run(http)
    with hearing(server.api) as first:
        first.wait_for_start()
        push(http, run, 1)
        poll(lambda: 1 in steps_of(first, run), "the first step is heard")
    assert first.last_id is not None
    push(http, other, 2)
    for back in (
        hearing(server.api, headers={"last-event-id": first.last_id}),
        hearing(server.api, {"since": first.last_id}),
    ):
        with back as again:
            poll(lambda heard=again: steps_of(heard, other) == [2], "what was missed is heard")
            assert again.of("reset") == []


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.sqlite_in_brief
def test_who_comes_back_with_an_id_that_tells_nothing_is_to_read_lists_anew(server: Server):
    for unknown in ("0", "nonsense", "999999999999999"):
        with hearing(server.api, headers={"last-event-id": unknown}) as heard:
            poll(lambda heard=heard: heard.of("reset") == [{}], f"reset after {unknown}")


@pytest.mark.parametrize("backend", [POSTGRES])
def test_every_process_tells_what_went_through_another(database_url: str, tmp_path: Path):
    with (
        two_servers(database_url, tmp_path) as (one, other),
        hearing(one.api) as here,
        hearing(other.api) as there,
        httpx.Client(base_url=one.api, trust_env=False) as http,
    ):
        here.wait_for_start()
        there.wait_for_start()
        run = new_run(http)
        push(http, run, 1)
        for heard in (here, there):
            poll(lambda heard=heard: 1 in steps_of(heard, run), "both hear it")
        with hearing(other.api, headers={"last-event-id": str(here.last_id)}) as moved:
            push(http, run, 2)
            poll(lambda: 2 in steps_of(moved, run), "who moves to the other goes on")
            assert moved.of("reset") == []


@pytest.fixture
def keyed(database_url: str, tmp_path: Path) -> Iterator[Server]:
    running = Server(database_url, tmp_path / "server.log", environment=KEYED).start()
    yield running
    running.kill()


@pytest.fixture
def ring(database_url: str) -> Iterator[Keyring]:
    engine = make_engine(database_url)
    yield Keyring(engine)
    engine.dispose()


@pytest.mark.sqlite_in_brief
def test_a_key_hears_its_own_project_only(keyed: Server, ring: Keyring):
    of_a, of_b = ring.bearer(A, "admin"), ring.bearer(B, "admin")
    with httpx.Client(base_url=keyed.api, trust_env=False) as http:
        own, foreign = new_run(http, A, **of_a), new_run(http, B, **of_b)
        with hearing(keyed.api, headers=of_a) as heard:
            heard.wait_for_start()
            for step in range(3):
                push(http, foreign, step, **of_b)
            push(http, own, 7, **of_a)
            poll(lambda: 7 in steps_of(heard, own), "its own is heard")
            assert {one["project"] for one in heard.of("run")} == {A}
        for query in ({"run": foreign}, {"project": B}):
            with hearing(keyed.api, query, of_a) as refused:
                assert refused.status == 404
    with hearing(keyed.api, headers=ring.bearer(A, "ingest")) as refused:
        assert refused.status == 403


@pytest.mark.sqlite_in_brief
def test_a_revoked_key_and_an_ended_session_hear_no_more(keyed: Server, ring: Keyring):
    issued, other = ring.issue(A, "read"), ring.issue(A, "read")
    with httpx.Client(base_url=keyed.api, trust_env=False) as http:
        http.post("/session", json={"key": other.text})
        token = http.cookies["__Host-gradwatch"]
        http.cookies.clear()
        cookie = {"cookie": f"__Host-gradwatch={token}", **BROWSER}
        with (
            hearing(keyed.api, headers=bearer(issued.text)) as by_key,
            hearing(keyed.api, headers=cookie) as by_session,
        ):
            by_key.wait_for_start()
            by_session.wait_for_start()
            ring.revoke(issued.key.key_id)
            assert http.delete("/session", headers=cookie).status_code == 204
            poll(lambda: by_session.is_over, "the session's stream ends", 5.0)
            poll(lambda: by_key.is_over, "the key's stream ends", 5.0)


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.sqlite_in_brief
def test_who_does_not_read_is_hung_up_on_and_nobody_else_notices(database_url: str, tmp_path: Path):
    server = Server(database_url, tmp_path / "server.log", environment=IMPATIENT)
    with (
        started(server),
        httpx.Client(base_url=server.api, trust_env=False) as http,
        deaf_to(server),
        hearing(server.api) as heard,
    ):
        heard.wait_for_start()
        with hearing(server.api) as refused:
            assert refused.status == 503
        large = {"project": "lm", "config": {"note": "x" * 200_000}}
        runs = [http.post("/runs", json=large).json()["id"] for _ in range(20)]
        steps = itertools.count()

        def is_let_in() -> bool:
            push(http, runs[0], next(steps))
            with hearing(server.api) as third:
                return third.status == 200

        poll(is_let_in, "the place of who did not read is free")
        poll(lambda: {one["id"] for one in heard.of("run")} == set(runs), "who reads hears all")
        assert not heard.is_over


@contextmanager
def deaf_to(server: Server) -> Iterator[None]:
    """Somebody who asks for events and never reads one."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield


@pytest.mark.sqlite_in_brief
def test_the_server_stops_at_once_although_somebody_listens(server: Server):
    with hearing(server.api) as one, hearing(server.api) as other:
        one.wait_for_start()
        other.wait_for_start()
        assert server.stop() == 0
        poll(lambda: one.is_over and other.is_over, "both streams have ended")
    assert server.log.read_text().count("\n") == 1  # uvicorn would say that it waits
