"""``/metrics`` as Prometheus reads it: parsed by the library's own parser."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families as parsed
from sqlalchemy import Connection, Engine, insert

from gradwatch_service.store import gauges, notice_tables, team_tables
from tests.servers import COMMAND, Server, poll
from tests.service.api.conftest import Api, served
from tests.service.ingest.rig import NOW, create_run
from tests.service.ingest.test_backtest import stored
from tests.tenants import Keyring

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Api]:
    with served(tmp_path) as running:
        yield running


def scrape(api: Api) -> Samples:
    return samples(api.send("GET", "http://test/metrics").text)


def samples(text: str) -> Samples:
    return {
        (one.name, frozenset(one.labels.items())): one.value
        for family in parsed(text)
        for one in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def requests(found: Samples, method: str, route: str, status: str) -> float:
    name = "gradwatch_http_request_seconds_count"
    return value(found, name, method=method, route=route, status=status)


def test_requests_are_counted_by_the_template_of_their_route(fresh: Api) -> None:
    run = fresh.new_run()
    for _ in range(3):
        fresh.get(run)
    fresh.get(f"/runs/{uuid.uuid4()}")
    body = b'{"steps": [0, 1], "scalars": {"loss": [1, 2], "lr": [1, 1]}}'
    fresh.put(f"{run}/writers/w/frames/0", body, "application/json")
    found = scrape(fresh)
    assert requests(found, "POST", "/api/v1/runs", "201") == 1
    assert requests(found, "GET", "/api/v1/runs/{run_id}", "200") == 3
    assert requests(found, "GET", "/api/v1/runs/{run_id}", "404") == 1
    frames = "/api/v1/runs/{run_id}/writers/{writer}/frames/{seq}"
    assert requests(found, "PUT", frames, "201") == 1


def test_paths_and_methods_of_somebodys_making_are_one_label(fresh: Api) -> None:
    for number in range(5):
        fresh.send("GET", f"http://test/nothing/{number}")
        fresh.send(f"MADEUP{number}", "http://test/healthz")
    found = scrape(fresh)
    assert requests(found, "GET", "(none)", "404") == 5
    labels = {dict(key[1]).get("method", "GET") for key in found}
    assert labels <= {"GET", "OTHER"}


def test_what_is_stored_is_counted_in_reports_and_numbers(fresh: Api) -> None:
    run = fresh.new_run()
    before = scrape(fresh)
    steps = [{"step": i, "loss": 1.0, "layers": {"a": {"grad_norm": 1.0}}} for i in range(7)]
    fresh.post(f"{run}/steps", {"steps": steps})
    fresh.get(run)
    poll(lambda: value(scrape(fresh), "gradwatch_writer_queue_jobs") == 0, "the writer is idle")
    after = scrape(fresh)
    for name, count in (
        ("gradwatch_reports_stored_total", 7),
        ("gradwatch_floats_stored_total", 14),
    ):
        assert value(after, name) - value(before, name) == count
    groups = "gradwatch_writer_commit_seconds_count"
    assert value(after, groups) > value(before, groups)
    assert value(after, "gradwatch_writer_group_jobs_count") == value(after, groups)
    assert value(after, "gradwatch_judge_backlog_streams") == 0
    assert value(after, "gradwatch_database_up") == 1


def test_the_format_is_the_one_that_is_asked_for(fresh: Api) -> None:
    plain = fresh.send("GET", "http://test/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    modern = fresh.send("GET", "http://test/metrics", headers=accept)
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")


def test_alerts_and_runs_of_projects_are_counted_where_they_stand(engine: Engine) -> None:
    stored(engine)
    create_run(engine, project="another")
    with engine.connect() as connection:
        found = gauges.standing(connection, NOW)
    assert sum(found.alerts.values()) >= 1
    assert {project for project, _, _ in found.alerts} == {"p"}
    assert "resolved" not in {state for _, _, state in found.alerts}
    assert found.runs == {("p", "running", "critical"): 1, ("another", "running", "ok"): 1}


def test_of_many_projects_the_rest_is_one(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gauges, "MOST_PROJECTS", 2)
    for number, count in enumerate((3, 2, 1, 1)):
        for _ in range(count):
            create_run(engine, project=f"p{number}")
    with engine.connect() as connection:
        runs = gauges.standing(connection, NOW).runs
    counts = {project: count for (project, _, _), count in gauges.seen_by(None, runs).items()}
    assert counts == {"p0": 3, "p1": 2, "(others)": 2}
    assert gauges.seen_by("p3", runs) == {("p3", "running", "ok"): 1}
    ages = {("a",): 1.0, ("b",): 9.0, ("c",): 5.0, ("d",): 3.0}
    shown = gauges.seen_by(None, ages, max)
    assert shown == {("b",): 9.0, ("c",): 5.0, ("(others)",): 3.0}


def test_what_waits_for_delivery_and_the_worker_have_an_age(engine: Engine) -> None:
    with engine.connect() as connection:
        nothing = gauges.standing(connection, NOW)
    assert (nothing.outbox, nothing.outbox_age, nothing.worker_age) == ({}, {}, None)
    assert nothing.deliveries == {}
    with engine.begin() as connection:
        for age in (30, 90):
            changed = {"project": "p", "version": 1, "changed_at": NOW - dt.timedelta(seconds=age)}
            row = {"run_id": uuid.uuid4(), "alert_id": uuid.uuid4(), **changed}
            connection.execute(insert(notice_tables.outbox).values(row))
        for worker, age in (("a", 5), ("b", 500)):
            beat = {"worker": worker, "beat_at": NOW - dt.timedelta(seconds=age)}
            connection.execute(insert(team_tables.heartbeats).values(beat))
        for state in ("dead", "dead", "pending", "sent", "superseded"):
            connection.execute(insert(notice_tables.deliveries).values(_delivery(state)))
        found = gauges.standing(connection, NOW)
    assert (found.outbox, found.outbox_age) == ({("p",): 2}, {("p",): 90.0})
    assert found.worker_age == 5.0
    assert found.deliveries == {("p", "dead"): 2, ("p", "pending"): 1}


def test_a_key_sees_what_waits_in_its_own_project_only(tmp_path: Path) -> None:
    with served(tmp_path, require_key=True, embedded_worker=False) as api:
        backend = api.app.state.backend

        def wait(connection: Connection) -> None:
            for project in ("mine", "theirs"):
                changed = {"project": project, "version": 1, "changed_at": backend.clock()}
                row = {"run_id": uuid.uuid4(), "alert_id": uuid.uuid4(), **changed}
                connection.execute(insert(notice_tables.outbox).values(row))
                delivery = _delivery("dead") | {"project": project}
                connection.execute(insert(notice_tables.deliveries).values(delivery))

        backend.write(wait)
        text = Keyring(backend.engine).issue("mine", "read").text
        headers = {"authorization": f"Bearer {text}"}
        found = samples(api.send("GET", "http://test/metrics", headers=headers).text)
    assert value(found, "gradwatch_deliveries", project="mine", state="dead") == 1
    assert value(found, "gradwatch_outbox_alerts", project="mine") == 1
    waiting = ("gradwatch_deliveries", "gradwatch_outbox_alerts", "gradwatch_outbox_age_seconds")
    seen = {dict(labels)["project"] for name, labels in found if name in waiting}
    assert seen == {"mine"}


def _delivery(state: str) -> dict[str, Any]:
    ids = {name: uuid.uuid4() for name in ("run_id", "delivery_id", "channel_id")}
    times = dict.fromkeys(("created_at", "due_at", "lease_until"), NOW)
    words = {"project": "p", "kind": "firing", "state": state, "error": ""}
    return {**ids, **times, **words, "body": {}, "attempts": 1}


def test_without_a_database_the_process_still_tells_of_itself(fresh: Api) -> None:
    backend = fresh.app.state.backend
    away = replace(backend, engine=sa.create_engine("sqlite:////no/such/folder/x.db"))
    fresh.app.state.backend = away
    found = scrape(fresh)
    away.engine.dispose()
    fresh.app.state.backend = backend
    assert value(found, "gradwatch_database_up") == 0
    assert value(found, "gradwatch_writer_queue_jobs") >= 0
    assert not any(name == "gradwatch_outbox_alerts" for name, _ in found)


@pytest.mark.postgres
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_scrape_tells_of_all_server_processes_whichever_answers(
    database_url: str, tmp_path: Path
) -> None:
    log, two = tmp_path / "server.log", {"GRADWATCH_WORKERS": "2"}
    server = Server(database_url, log, program=COMMAND, environment=two).start()
    try:
        for _ in range(40):  # each on a connection of its own: either process may take it
            httpx.get(f"{server.url}/healthz", trust_env=False)
        found = [
            samples(httpx.get(f"{server.url}/metrics", trust_env=False).text) for _ in "123456"
        ]
        assert {requests(one, "GET", "/healthz", "200") for one in found} == {40}
        assert all(value(one, "gradwatch_database_up") == 1 for one in found)
    finally:
        server.stop()
